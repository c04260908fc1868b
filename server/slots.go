package server

import (
	"cmp"
	"context"
	"time"
)

// acquire takes a slot to compute in. It waits until the context or the deadline ends, or until the
// request is cut off. A request in a slot is never cut off.
func (f *inflight) acquire(ctx context.Context) error {
	l := f.lane
	l.mutex.Lock()
	defer l.mutex.Unlock()
	switch {
	case f.cut:
		return errOverload
	case l.free > 0:
		l.free--
		f.grant()
		return nil
	}
	granted := make(chan struct{})
	f.granted = granted
	l.mutex.Unlock()
	ctx, cancel := f.waitContext(ctx)
	select {
	case <-granted:
	case <-ctx.Done():
	}
	cancel()
	l.mutex.Lock()
	f.granted = nil
	switch {
	case f.slot:
		return nil
	case f.cut:
		return errOverload
	}
	return errDeadline
}

// release passes the slot of the request, if any, to the next one. Afterwards, it can be cut off again.
func (f *inflight) release() {
	l := f.lane
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if !f.slot {
		return
	}
	f.slot = false
	if next := l.next(); next != nil {
		next.grant()
	} else {
		l.free++
	}
	f.wait()
}

// grant gives a slot to the request. The mutex is held.
func (f *inflight) grant() {
	f.slot = true
	f.stopWaiting()
	f.client.gotSlot()
	if f.granted != nil {
		close(f.granted)
		f.granted = nil
	}
}

// next returns the request that gets the next slot, or nil if none waits for one. Addresses take turns,
// and so do the connections of an address. Thus a client that sends many requests delays only its own.
func (l *lane) next() (next *inflight) {
	for _, f := range l.waiting {
		if f.granted != nil && (next == nil || f.precedes(next)) {
			next = f
		}
	}
	return next
}

// precedes reports whether the request gets a slot before another one. The time of a trial grows with its
// size, from a millisecond to a second. So small trials of an address precede, but no large one waits
// forever.
func (f *inflight) precedes(other *inflight) bool {
	peer, own := f.client.lastSlots()
	otherPeer, otherOwn := other.client.lastSlots()
	order := cmp.Compare(peer, otherPeer)
	if f.lane == &f.lanes.trials {
		order = cmp.Or(order, cmp.Compare(other.urgency(), f.urgency()))
	}
	return cmp.Or(order, cmp.Compare(own, otherOwn), f.start.Compare(other.start)) < 0
}

// urgency returns the age of the request for each byte that it is charged for.
func (f *inflight) urgency() float64 {
	return time.Since(f.start).Seconds() / float64(f.cost)
}
