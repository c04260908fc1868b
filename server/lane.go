package server

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"net/http"
	"runtime"
	"sync"
	"time"
)

// The budgets of the lanes. When one host fills both, the process has less than 300 MB;
// docs/performance.md lists the measurements.
const (
	smallBudget = 32 << 20
	largeBudget = 20 << 20
	trialBudget = 8 << 20
	// mostSmall is the largest body of the small lane. A usual review has 5 to 20 KiB.
	mostSmall = 256 << 10
	// requestCost is charged for the goroutine, the header and the buffers of a request, and headerCost
	// for each byte of a header that is longer than usual.
	requestCost = 12 << 10
	headerCost  = 3
	// mostTrials is how many trials of one address may wait. An API server has few reviews of ConfigMaps at once.
	mostTrials = 16
	// mostSlots bounds the slots of the small lane on machines with many CPUs.
	mostSlots = 8
	// muchMemory is the most that a request takes before all that were cut off have left. Usual requests take
	// less at once, so they never wait for others to leave.
	muchMemory = 64 << 10
	// cutTimeout bounds how long a request waits for others to leave.
	cutTimeout = time.Second
)

// Lanes bound the memory that all requests together take. Requests with small bodies have a lane of
// their own, so that large bodies never keep a usual review from being answered. So have changes of
// ConfigMaps once they are decoded. Lanes are safe for concurrent use.
type Lanes struct {
	small, large, trials lane
}

// NewLanes returns lanes that no request has entered.
func NewLanes() *Lanes {
	lanes := new(Lanes)
	lanes.small.budget, lanes.large.budget, lanes.trials.budget = smallBudget, largeBudget, trialBudget
	lanes.small.free, lanes.large.free, lanes.trials.free = min(2*runtime.GOMAXPROCS(0), mostSlots), 1, 1
	return lanes
}

// lane is a budget of bytes for requests that wait, and a number of slots for those that compute.
// A request is charged for its body until it is decoded, and then for its response until it is sent.
type lane struct {
	budget int64

	mutex   sync.Mutex
	free    int           // the number of free slots; 0 while an exchange waits for a slot
	used    int64         // the bytes that all exchanges are charged for
	leaving int64         // the bytes of exchanges that were cut off and have not left yet
	freed   chan struct{} // closed when an exchange leaves or is cut off; nil unless awaitRoom waits
	waiting []*exchange   // exchanges without a slot: they can be cut off; in no order
}

var errBusy = &httpError{http.StatusServiceUnavailable, "too many requests are in flight: try again"}

// exchange is a request and its response. The zero exchange is in no lane.
type exchange struct {
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

// enter moves the exchange to a lane and charges it there. It waits for its client until it acquires a slot.
func (x *exchange) enter(l *lane, cost int64) error {
	x.leave()
	if x.cut {
		return errBusy
	}
	x.lane = l
	l.mutex.Lock()
	x.wait()
	l.mutex.Unlock()
	return x.hold(cost)
}

// leave removes the exchange from its lane, if any. Afterwards, it cannot be cut off.
func (x *exchange) leave() {
	if x.lane == nil {
		return
	}
	x.release()
	l := x.lane
	l.mutex.Lock()
	x.stopWaiting()
	if x.cut {
		l.leaving -= x.cost
	}
	x.charge(0)
	l.wake()
	l.mutex.Unlock()
	x.cutting.Wait()
	x.lane = nil
}

// hold charges the exchange for all that it is about to hold. While the lane is over its budget, hold
// cuts off the worst of the waiting exchanges, so that slow clients lose their place to new ones. Before
// the exchange takes much, it waits until those that were cut off have left. hold fails if this exchange
// was cut off.
func (x *exchange) hold(cost int64) error {
	l := x.lane
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if x.cut {
		return errBusy
	}
	more := cost - x.cost
	x.charge(cost)
	leaving := l.makeRoom()
	if more > muchMemory && l.used > l.budget && leaving {
		l.awaitRoom(x)
	}
	if x.cut {
		return errBusy
	}
	return nil
}

// charge replaces what the exchange is charged for. The mutex is held.
func (x *exchange) charge(cost int64) {
	more := cost - x.cost
	x.cost = cost
	x.lane.used += more
	x.client.charge(more)
}

// makeRoom cuts off exchanges until the others are within the budget. It reports whether exchanges are
// about to leave. The mutex is held when it is called and when it returns.
func (l *lane) makeRoom() bool {
	for l.used-l.leaving > l.budget {
		victim := l.worst(time.Now())
		if victim == nil {
			break
		}
		l.evict(victim)
	}
	return l.leaving > 0
}

// evict cuts off a waiting exchange. The mutex is held when it is called and when it returns.
func (l *lane) evict(victim *exchange) {
	victim.stopWaiting()
	victim.cut = true
	victim.cutting.Add(1)
	l.leaving += victim.cost
	l.wake()
	l.mutex.Unlock()
	victim.cutOff()
	l.mutex.Lock()
}

// awaitRoom waits until the lane is within its budget or the exchange is cut off, for cutTimeout at
// most: not every ResponseWriter has deadlines by which it can be cut off. The mutex is held when it is
// called and when it returns.
func (l *lane) awaitRoom(x *exchange) {
	timer := time.NewTimer(cutTimeout)
	defer timer.Stop()
	for l.used > l.budget && !x.cut && l.makeRoom() {
		if l.freed == nil {
			l.freed = make(chan struct{})
		}
		freed := l.freed
		l.mutex.Unlock()
		select {
		case <-freed:
			l.mutex.Lock()
		case <-timer.C:
			l.mutex.Lock()
			return
		}
	}
}

// wake makes awaitRoom check the budget again.
func (l *lane) wake() {
	if l.freed != nil {
		close(l.freed)
		l.freed = nil
	}
}

// worst returns the waiting exchange with the largest product of its bytes, its age, and the bytes of its
// connection and of its address; nil if none waits. Thus many requests of one client are cut off before
// the few of another one.
func (l *lane) worst(now time.Time) (worst *exchange) {
	most := -1.0
	for _, x := range l.waiting {
		product := float64(x.cost) * now.Sub(x.start).Seconds() * x.client.weight()
		if product > most {
			worst, most = x, product
		}
	}
	return worst
}

// cutOff ends the wait of the exchange. It may block for a moment, so the mutex is not held. leave waits for
// it: a deadline that is set later would hit the next request of the connection.
func (x *exchange) cutOff() {
	defer x.cutting.Done()
	past := time.Unix(1, 0)
	x.lane.mutex.Lock()
	cancel, writing := x.cancel, x.writing
	x.lane.mutex.Unlock()
	if cancel != nil {
		cancel()
	}
	// Not every ResponseWriter has deadlines.
	if writing {
		_ = x.control.SetWriteDeadline(past)
	} else {
		_ = x.control.SetReadDeadline(past)
	}
}

// wait adds the exchange to lane.waiting, and stopWaiting removes it. The mutex is held.
func (x *exchange) wait() {
	if x.place == 0 && !x.cut {
		x.lane.waiting = append(x.lane.waiting, x)
		x.place = len(x.lane.waiting)
	}
}

func (x *exchange) stopWaiting() {
	if x.place == 0 {
		return
	}
	list := x.lane.waiting
	last := list[len(list)-1]
	list[x.place-1], last.place = last, x.place
	list[len(list)-1] = nil
	x.lane.waiting, x.place = list[:len(list)-1], 0
}

// acquire takes a slot to compute in. It waits until the context or the deadline ends, or until the
// exchange is cut off. An exchange in a slot is never cut off.
func (x *exchange) acquire(ctx context.Context) error {
	l := x.lane
	l.mutex.Lock()
	defer l.mutex.Unlock()
	switch {
	case x.cut:
		return errBusy
	case l.free > 0:
		l.free--
		x.grant()
		return nil
	}
	granted := make(chan struct{})
	x.granted = granted
	l.mutex.Unlock()
	ctx, cancel := x.waitContext(ctx)
	select {
	case <-granted:
	case <-ctx.Done():
	}
	cancel()
	l.mutex.Lock()
	x.granted = nil
	switch {
	case x.slot:
		return nil
	case x.cut:
		return errBusy
	}
	return errLate
}

// release passes the slot of the exchange, if any, to the next one. Afterwards, it can be cut off again.
func (x *exchange) release() {
	l := x.lane
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if !x.slot {
		return
	}
	x.slot = false
	if next := l.next(); next != nil {
		next.grant()
	} else {
		l.free++
	}
	x.wait()
}

// next returns the exchange that gets the next slot; nil if none waits for one. Addresses take turns, and
// so do the connections of an address. Thus a client that sends many requests delays its own.
func (l *lane) next() (next *exchange) {
	for _, x := range l.waiting {
		if x.granted != nil && (next == nil || x.precedes(next)) {
			next = x
		}
	}
	return next
}

// precedes reports whether the exchange gets a slot before another one. The time of a trial grows with its
// size, and ranges from a millisecond to a second. So the small ones of an address go first, but no large
// one waits forever.
func (x *exchange) precedes(other *exchange) bool {
	peer, own := x.client.turns()
	otherPeer, otherOwn := other.client.turns()
	order := cmp.Compare(peer, otherPeer)
	if x.lane == &x.lanes.trials {
		order = cmp.Or(order, cmp.Compare(other.urgency(), x.urgency()))
	}
	return cmp.Or(order, cmp.Compare(own, otherOwn), x.start.Compare(other.start)) < 0
}

// urgency is the time since the beginning of the exchange for each byte that it is charged for.
func (x *exchange) urgency() float64 {
	return time.Since(x.start).Seconds() / float64(x.cost)
}

// enterTrial moves the exchange to the lane of trials. If too many of its address wait there, the largest
// of them is cut off.
func (x *exchange) enterTrial(cost int64) error {
	l := &x.lanes.trials
	if err := x.enter(l, cost); err != nil || x.client == nil {
		return err
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	count, largest := 0, x
	for _, one := range l.waiting {
		if one.client != nil && one.client.peer == x.client.peer {
			count++
			if one.cost > largest.cost {
				largest = one
			}
		}
	}
	if count > mostTrials && !largest.cut {
		l.evict(largest)
	}
	if x.cut {
		return errBusy
	}
	return nil
}

// grant gives a slot to the exchange. The mutex is held.
func (x *exchange) grant() {
	x.slot = true
	x.stopWaiting()
	x.client.tookTurn()
	if x.granted != nil {
		close(x.granted)
		x.granted = nil
	}
}

// waitContext returns a context that ends with its parent, at the deadline of the exchange, or when the
// exchange is cut off.
func (x *exchange) waitContext(ctx context.Context) (context.Context, context.CancelFunc) {
	cancelTimer := func() {}
	if !x.deadline.IsZero() {
		ctx, cancelTimer = context.WithDeadline(ctx, x.deadline)
	}
	ctx, cancel := context.WithCancel(ctx)
	x.lane.mutex.Lock()
	outer := x.cancel
	x.cancel = cancel
	if x.cut {
		cancel()
	}
	x.lane.mutex.Unlock()
	return ctx, func() {
		x.lane.mutex.Lock()
		x.cancel = outer
		x.lane.mutex.Unlock()
		cancel()
		cancelTimer()
	}
}

// ended returns the reason why a wait has ended early.
func (x *exchange) ended() error {
	x.lane.mutex.Lock()
	defer x.lane.mutex.Unlock()
	if x.cut {
		return errBusy
	}
	return errLate
}

// write sends a response. It returns when the client has taken all of it, after writeTimeout, or when the
// exchange is cut off. It returns errBusy if the exchange was cut off before anything was sent.
func (x *exchange) write(send func() error) error {
	_ = x.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	x.lane.mutex.Lock()
	x.writing = true
	cut := x.cut
	x.lane.mutex.Unlock()
	if cut {
		return errBusy
	}
	if err := send(); err != nil {
		return err
	}
	if err := x.control.Flush(); !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
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

// bounded charges each request of a handler that reads no body and takes so much memory itself.
func (l *Lanes) bounded(cost int64, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := exchange{control: http.NewResponseController(w), start: time.Now()}
		defer x.leave()
		err := x.enter(&l.small, cost+baseCost(r))
		if err == nil {
			err = x.write(func() error { next.ServeHTTP(w, r); return nil })
		}
		if errors.Is(err, errBusy) {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
}
