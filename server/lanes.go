package server

import (
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
	// maxSmallBody is the largest body of the small lane. A usual review has 5 to 20 KiB.
	maxSmallBody = 256 << 10
	// maxSlots bounds the slots of the small lane on machines with many CPUs.
	maxSlots = 8
	// muchMemory is the most that a request takes before all that were cut off have left. Usual requests take
	// less at once, so they never wait for others to leave.
	muchMemory = 64 << 10
	// cutTimeout bounds how long a request waits for others to leave.
	cutTimeout = time.Second
)

// Lanes bound the memory of all requests together. Requests with small bodies have a lane of their own,
// so that large bodies cannot delay usual reviews. So do changes of ConfigMaps once they are decoded. Lanes
// are safe for concurrent use.
type Lanes struct {
	small, large, trials lane
}

// NewLanes returns empty lanes.
func NewLanes() *Lanes {
	lanes := new(Lanes)
	lanes.small.budget, lanes.large.budget, lanes.trials.budget = smallBudget, largeBudget, trialBudget
	lanes.small.free, lanes.large.free, lanes.trials.free = min(2*runtime.GOMAXPROCS(0), maxSlots), 1, 1
	return lanes
}

// lane is a budget of bytes for requests that wait, and a number of slots for those that compute.
// A request is charged for its body until it is decoded, and then for its response until it is sent.
type lane struct {
	budget int64

	mutex   sync.Mutex
	free    int           // the number of free slots; 0 while a request waits for a slot
	used    int64         // the bytes that all requests are charged for
	leaving int64         // the bytes of requests that were cut off and have not left yet
	freed   chan struct{} // closed when a request leaves or is cut off; nil unless awaitRoom waits
	waiting []*inflight   // requests without a slot: they can be cut off; in no order
}

// makeRoom cuts off requests until the others are within the budget. It reports whether requests are
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

// evict cuts off a waiting request. The mutex is held when it is called and when it returns.
func (l *lane) evict(victim *inflight) {
	victim.stopWaiting()
	victim.cut = true
	victim.cutting.Add(1)
	l.leaving += victim.cost
	l.wake()
	l.mutex.Unlock()
	victim.cutOff()
	l.mutex.Lock()
}

// worst returns the waiting request with the largest product of its bytes, its age, and the bytes of its
// connection and of its address; nil if none waits. Thus many requests of one client are cut off before
// the few of another one.
func (l *lane) worst(now time.Time) (worst *inflight) {
	most := -1.0
	for _, f := range l.waiting {
		product := float64(f.cost) * now.Sub(f.start).Seconds() * f.client.weight()
		if product > most {
			worst, most = f, product
		}
	}
	return worst
}

// awaitRoom waits until the lane is within its budget or the request is cut off, for cutTimeout at
// most: not every ResponseWriter has deadlines by which it can be cut off. The mutex is held when it is
// called and when it returns.
func (l *lane) awaitRoom(f *inflight) {
	timer := time.NewTimer(cutTimeout)
	defer timer.Stop()
	for l.used > l.budget && !f.cut && l.makeRoom() {
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
