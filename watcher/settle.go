package watcher

import (
	"context"
	"time"
)

// A save is served in under half a second: it waits for settleLimit at most, and what is
// left is for reading and parsing. Editors and kubelet need far less than settleQuiet
// between the steps of one change.
const (
	settleQuiet = 100 * time.Millisecond
	settleLimit = 400 * time.Millisecond
)

// trigger is where any number of goroutines ask one other for work. Requests that come
// while it works are joined into one. Make it with newTrigger.
type trigger struct {
	events chan struct{}
	orders chan struct{}
}

func newTrigger() trigger {
	return trigger{events: make(chan struct{}, 1), orders: make(chan struct{}, 1)}
}

// event asks for work once things have settled. It never blocks.
func (t trigger) event() { poke(t.events) }

// order asks for work at once. It never blocks.
func (t trigger) order() { poke(t.orders) }

// wait blocks until there is work to do, and tells whether somebody ordered it. It is not ok
// when ctx ended.
func (t trigger) wait(ctx context.Context) (ordered, ok bool) {
	select {
	case <-ctx.Done():
	case <-t.orders:
		ordered = true
	case <-t.events:
		ordered = t.settle(ctx)
	}
	return ordered, ctx.Err() == nil
}

// settle blocks until no event came for settleQuiet. Endless churn, an order and the end of
// ctx cut it short. It tells whether it was an order.
func (t trigger) settle(ctx context.Context) bool {
	quiet, limit := time.NewTimer(settleQuiet), time.NewTimer(settleLimit)
	defer quiet.Stop()
	defer limit.Stop()
	for {
		select {
		case <-t.events:
			quiet.Reset(settleQuiet)
		case <-quiet.C:
			return false
		case <-limit.C:
			return false
		case <-t.orders:
			return true
		case <-ctx.Done():
			return false
		}
	}
}

// poke leaves one token in a channel of capacity 1, unless there is one.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
