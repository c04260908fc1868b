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
	// requestCost is the cost of the goroutine, the header and the buffers of a request, and headerCost
	// the cost of each byte of its header.
	requestCost = 12 << 10
	headerCost  = 3
)

// inflight is a request and its response. The zero value is in no lane.
type inflight struct {
	lanes    *Lanes
	control  *http.ResponseController
	client   *connection // nil if it is unknown
	start    time.Time
	base     int64         // the cost without the buffer
	deadline time.Time     // when the client stops waiting; zero if unknown
	buffer   *bytes.Buffer // the body, and then the response
	lane     *lane         // nil before enter and after leave

	// The mutex of the lane guards the rest.
	cost    int64         // the bytes that it is charged for
	place   int           // the index in lane.waiting, from 1; 0 if it is not there
	slot    bool          // whether it has a slot
	granted chan struct{} // closed when it gets a slot; nil unless it waits for a slot
	writing bool          // whether it waits for the client to take the response
	cut     bool
	cancel  context.CancelFunc // ends the wait for a slot or a lookup; nil without such a wait
	cutting sync.WaitGroup     // counts calls of cutOff in progress
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

// enter moves the request to a lane and charges it there. It waits for its client until it acquires a slot.
func (f *inflight) enter(l *lane, cost int64) error {
	f.leave()
	if f.cut {
		return errOverload
	}
	f.lane = l
	l.mutex.Lock()
	f.wait()
	l.mutex.Unlock()
	return f.hold(cost)
}

// leave removes the request from its lane, if any. Afterwards, it cannot be cut off.
func (f *inflight) leave() {
	if f.lane == nil {
		return
	}
	f.release()
	l := f.lane
	l.mutex.Lock()
	f.stopWaiting()
	if f.cut {
		l.leaving -= f.cost
	}
	f.charge(0)
	l.wake()
	l.mutex.Unlock()
	f.cutting.Wait()
	f.lane = nil
}

// hold charges the request for everything that it is about to hold. While the lane is over its budget,
// hold cuts off the worst of the waiting requests, so that slow clients lose their place to new ones.
// Before the request takes much, it waits until those that were cut off have left. hold returns an error
// if this request was cut off.
func (f *inflight) hold(cost int64) error {
	l := f.lane
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if f.cut {
		return errOverload
	}
	more := cost - f.cost
	f.charge(cost)
	leaving := l.makeRoom()
	if more > muchMemory && l.used > l.budget && leaving {
		l.awaitRoom(f)
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
	f.client.charge(more)
}

// wait adds the request to lane.waiting, and stopWaiting removes it. The mutex is held.
func (f *inflight) wait() {
	if f.place == 0 && !f.cut {
		f.lane.waiting = append(f.lane.waiting, f)
		f.place = len(f.lane.waiting)
	}
}

func (f *inflight) stopWaiting() {
	if f.place == 0 {
		return
	}
	list := f.lane.waiting
	last := list[len(list)-1]
	list[f.place-1], last.place = last, f.place
	list[len(list)-1] = nil
	f.lane.waiting, f.place = list[:len(list)-1], 0
}

// cutOff ends the wait of the request. It may block for a moment, so the mutex is not held. leave waits
// for it: a deadline that is set later would hit the next request of the connection.
func (f *inflight) cutOff() {
	defer f.cutting.Done()
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

// waitContext returns a context that ends with its parent, at the deadline of the request, or when the
// request is cut off.
func (f *inflight) waitContext(ctx context.Context) (context.Context, context.CancelFunc) {
	stop := func() {}
	if !f.deadline.IsZero() {
		ctx, stop = context.WithDeadline(ctx, f.deadline)
	}
	ctx, cancel := context.WithCancel(ctx)
	f.lane.mutex.Lock()
	outer := f.cancel
	f.cancel = cancel
	if f.cut {
		cancel()
	}
	f.lane.mutex.Unlock()
	return ctx, func() {
		f.lane.mutex.Lock()
		f.cancel = outer
		f.lane.mutex.Unlock()
		cancel()
		stop()
	}
}

// endReason returns why a wait has ended early.
func (f *inflight) endReason() error {
	f.lane.mutex.Lock()
	defer f.lane.mutex.Unlock()
	if f.cut {
		return errOverload
	}
	return errDeadline
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
