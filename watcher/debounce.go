package watcher

import (
	"context"
	"time"
)

// A change is served in under half a second: debounceLimit, plus the time to read and parse. The steps
// of one change by an editor or the kubelet are less than debounceQuiet apart.
const (
	debounceQuiet = 100 * time.Millisecond
	debounceLimit = 400 * time.Millisecond
)

// debouncer runs work in one goroutine at the request of others. Requests that arrive during work are
// merged into one. Make it with newDebouncer.
type debouncer struct {
	events    chan struct{}
	immediate chan struct{}
}

func newDebouncer() debouncer {
	return debouncer{events: make(chan struct{}, 1), immediate: make(chan struct{}, 1)}
}

// schedule requests work after a quiet period. It never blocks.
func (d debouncer) schedule() { notify(d.events) }

// scheduleNow requests work without delay. It never blocks.
func (d debouncer) scheduleNow() { notify(d.immediate) }

// run calls work at once, and again when it is requested, until ctx ends. explicit is true if scheduleNow was
// called.
func (d debouncer) run(ctx context.Context, work func(explicit bool)) {
	for explicit := false; ctx.Err() == nil; explicit = d.wait(ctx) {
		work(explicit)
	}
}

// wait blocks until an event is followed by debounceQuiet without another. It returns early when debounceLimit
// passes, scheduleNow is called, or ctx ends. It reports whether scheduleNow was called.
func (d debouncer) wait(ctx context.Context) (explicit bool) {
	var quiet, limit <-chan time.Time // nil before the first event
	for {
		select {
		case <-d.events:
			quiet = time.After(debounceQuiet)
			if limit == nil {
				limit = time.After(debounceLimit)
			}
		case <-quiet:
			return false
		case <-limit:
			return false
		case <-d.immediate:
			return true
		case <-ctx.Done():
			return false
		}
	}
}

// notify sends a token to a channel of capacity 1, unless it has one.
func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
