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

// debouncer runs work in one goroutine at the request of others. Events that arrive during work are
// merged into one. Make it with newDebouncer.
type debouncer struct {
	events   chan struct{}
	requests chan chan<- error // each receives the result
}

func newDebouncer() debouncer {
	return debouncer{events: make(chan struct{}, 1), requests: make(chan chan<- error)}
}

// schedule requests work after a quiet period. It never blocks.
func (d debouncer) schedule() { notify(d.events) }

// runNow requests work that begins after the call, without delay, and returns its error, or that of ctx.
func (d debouncer) runNow(ctx context.Context) error {
	result := make(chan error, 1)
	select {
	case d.requests <- result:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run calls work at once, and again when it is requested, until ctx ends. explicit is true if runNow was
// called.
func (d debouncer) run(ctx context.Context, work func(explicit bool) error) {
	var request chan<- error // nil unless runNow was called
	for ; ctx.Err() == nil; request = d.wait(ctx) {
		err := work(request != nil)
		if request != nil {
			request <- err
		}
	}
}

// wait blocks until there was no event for debounceQuiet. It returns early when debounceLimit passes, runNow is
// called, or ctx ends. If runNow was called, it returns where to send the result.
func (d debouncer) wait(ctx context.Context) (request chan<- error) {
	var quiet, limit <-chan time.Time // nil before the first event
	for {
		select {
		case <-d.events:
			quiet = time.After(debounceQuiet)
			if limit == nil {
				limit = time.After(debounceLimit)
			}
		case <-quiet:
			return nil
		case <-limit:
			return nil
		case request := <-d.requests:
			return request
		case <-ctx.Done():
			return nil
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
