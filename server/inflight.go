package server

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

const (
	// requestCost is the memory, in bytes, of the goroutine, the header and the buffers of a request, and
	// headerCost that of each byte of its header.
	requestCost = 12 << 10
	headerCost  = 3
)

// inflight is a request, from its header until its response is sent. Its cost is the memory that it holds, in
// bytes.
type inflight struct {
	lanes    *Lanes
	control  http.ResponseController
	client   *connection
	start    time.Time
	deadline time.Time     // when the client stops waiting
	base     int64         // the cost without the body and the response
	buffer   *bytes.Buffer // the body, and then the response
	lane     *lane         // nil before holdIn and after leave

	// The mutex of the lane guards the rest.
	cost       int64         // what it is charged for
	granted    chan struct{} // closed when it gets a slot; nil unless it waits for one
	slot       bool          // whether it has a slot
	writing    bool          // whether it waits for the client to take the response
	cut        bool
	left       chan struct{}      // closed when it has left its lane; nil unless it was cut off
	cancel     context.CancelFunc // ends its last wait; nil before the first
	interrupts sync.WaitGroup     // the calls of interrupt in progress
}

// begin returns a request that is not in a lane yet.
func (l *Lanes) begin(w http.ResponseWriter, r *http.Request) *inflight {
	client, known := r.Context().Value(connectionKey{}).(*connection)
	if !known {
		client = l.unknown
	}
	now := time.Now()
	return &inflight{
		lanes: l, control: *http.NewResponseController(w), client: client,
		start: now, deadline: now.Add(maxTimeout), base: baseCost(r),
	}
}

// baseCost returns the cost of a request without its body.
func baseCost(r *http.Request) int64 {
	cost := requestCost
	for name, values := range r.Header {
		for _, value := range values {
			cost += headerCost * (len(name) + len(value))
		}
	}
	return int64(cost)
}

// holdIn moves the request to a lane, unless it is there already, and charges it like hold. In a new lane it has no
// slot.
func (f *inflight) holdIn(l *lane, cost int64) error {
	if f.lane == l {
		return f.hold(cost)
	}
	f.leave()
	if f.cut {
		return errOverload
	}
	f.lane = l
	l.mutex.Lock()
	l.withoutSlot.Insert(f)
	l.mutex.Unlock()
	return f.hold(cost)
}

// leave removes the request from its lane, if any. Afterwards, it cannot be cut off.
func (f *inflight) leave() {
	l := f.lane
	if l == nil {
		return
	}
	f.release()
	l.mutex.Lock()
	l.withoutSlot.Delete(f)
	f.charge(0)
	if f.cut {
		close(f.left)
	}
	l.mutex.Unlock()
	f.interrupts.Wait()
	f.lane = nil
}

// hold replaces the cost of the request with all that it is about to hold, and makes room for it. It returns
// errOverload if the request was cut off.
func (f *inflight) hold(cost int64) error {
	l := f.lane
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if !f.cut {
		entering := f.cost == 0
		f.charge(cost)
		l.makeRoom(f, entering)
	}
	if f.cut {
		return errOverload
	}
	return nil
}

// charge replaces the cost of the request. The mutex is held.
func (f *inflight) charge(cost int64) {
	more := cost - f.cost
	f.cost = cost
	f.lane.used += more
	f.client.used.Add(more)
	f.client.peer.used.Add(more)
}

// cutOff stops charging the request, which must then leave its lane. The mutex is held.
func (f *inflight) cutOff() {
	f.lane.withoutSlot.Delete(f)
	f.charge(0)
	f.cut, f.left = true, make(chan struct{})
}

// interrupt ends the wait of a request that was cut off: for a slot, a lookup, or its client. It may block for a
// moment, so the mutex is not held. leave waits for it, because a deadline that is set later would hit the next
// request of the connection.
func (f *inflight) interrupt() {
	defer f.interrupts.Done()
	past := time.Unix(1, 0)
	f.lane.mutex.Lock()
	cancel, writing := f.cancel, f.writing
	f.lane.mutex.Unlock()
	if cancel != nil {
		cancel()
	}
	// Not every ResponseWriter has deadlines.
	if writing {
		_ = f.control.SetWriteDeadline(past)
	} else {
		_ = f.control.SetReadDeadline(past)
	}
}

// acquire waits for a slot. It returns errDeadline if the context ends or the deadline passes first, and
// errOverload if the request is cut off. A request with a slot is never cut off.
func (f *inflight) acquire(ctx context.Context) error {
	l := f.lane
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.free > 0 && !f.cut && time.Now().Before(f.deadline) {
		l.free--
		f.grant()
		return nil
	}
	granted := make(chan struct{})
	f.granted = granted
	l.mutex.Unlock()
	ctx, cancel := f.waitContext(ctx)
	defer cancel()
	select {
	case <-granted:
	case <-ctx.Done():
	}
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
	l.withoutSlot.Insert(f)
}

// grant assigns a slot to the request. The mutex is held.
func (f *inflight) grant() {
	f.slot = true
	f.lane.withoutSlot.Delete(f)
	now := time.Now().UnixNano()
	f.client.lastSlot.Store(now)
	f.client.peer.lastSlot.Store(now)
	if f.granted != nil {
		close(f.granted)
		f.granted = nil
	}
}

// waitContext returns a context that ends with its parent, at the deadline of the request, or when the
// request is cut off. A request has only one such context at a time.
func (f *inflight) waitContext(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithDeadline(ctx, f.deadline)
	f.lane.mutex.Lock()
	defer f.lane.mutex.Unlock()
	f.cancel = cancel
	if f.cut {
		cancel()
	}
	return ctx, cancel
}

// write sends a response. It returns when the client has taken all of it, after writeTimeout, or when the
// request is cut off. It returns errOverload if the request was cut off before anything was sent.
func (f *inflight) write(send func() error) error {
	_ = f.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	f.lane.mutex.Lock()
	f.writing = true
	cut := f.cut
	f.lane.mutex.Unlock()
	if cut {
		return errOverload
	}
	if err := send(); err != nil {
		return err
	}
	if err := f.control.Flush(); !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}
