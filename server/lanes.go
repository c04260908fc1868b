package server

import (
	"cmp"
	"runtime"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
)

const (
	// The budgets of the lanes, in bytes. If one host fills them, the process takes less than 300 MB:
	// docs/performance.md lists the measurements.
	smallBudget = 32 << 20
	largeBudget = 20 << 20
	trialBudget = 8 << 20
	// maxSmallBody is the largest body of the small lane. A usual review has 5 to 20 KiB.
	maxSmallBody = 256 << 10
	// maxSlots bounds the slots of the small lane on machines with many CPUs.
	maxSlots = 8
	// maxTrials is how many trials of one address may wait. An API server sends few reviews of ConfigMaps at once.
	maxTrials = 16
	// cutOffTimeout limits the wait for requests that were cut off.
	cutOffTimeout = time.Second
)

// Lanes limit the memory of all requests together. Requests with small bodies have a lane of their own, so that
// large bodies cannot delay usual reviews. Trials, the dry runs of changes of ConfigMaps, have one too. Lanes are
// safe for concurrent use.
type Lanes struct {
	small, large, trials *lane
	unknown              *connection // of requests that came without a Server, as in tests
}

// NewLanes returns empty lanes.
func NewLanes() *Lanes {
	return &Lanes{
		small:   newLane(smallBudget, min(2*runtime.GOMAXPROCS(0), maxSlots)),
		large:   newLane(largeBudget, 1),
		trials:  newLane(trialBudget, 1),
		unknown: newConnection(nil, nil, newPeer("")),
	}
}

// lane has a budget of bytes for its requests, and slots for those that compute. A request is charged for its body
// until it is decoded, and then for its response until it is sent.
type lane struct {
	budget int64

	mutex       sync.Mutex
	free        int                 // the number of free slots; 0 while a request waits for a slot
	used        int64               // the bytes that all requests are charged for
	withoutSlot sets.Set[*inflight] // these can be cut off
}

func newLane(budget int64, slots int) *lane {
	return &lane{budget: budget, free: slots, withoutSlot: sets.New[*inflight]()}
}

// makeRoom cuts off requests until the lane is within its limits, so that slow clients lose their place to
// new ones. It waits until these requests have left, for at most cutOffTimeout, because not every ResponseWriter
// has deadlines. The mutex is held when it is called and when it returns, but not while it waits.
func (l *lane) makeRoom(f *inflight, entering bool) {
	var victims []*inflight
	for !f.cut {
		victim := l.excess(f, entering)
		if victim == nil {
			break
		}
		victim.cutOff()
		if victim != f {
			victim.interrupts.Add(1)
			victims = append(victims, victim)
		}
	}
	if victims == nil {
		return
	}
	l.mutex.Unlock()
	defer l.mutex.Lock()
	for _, victim := range victims {
		victim.interrupt()
	}
	timeout := time.NewTimer(cutOffTimeout)
	defer timeout.Stop()
	for _, victim := range victims {
		select {
		case <-victim.left:
		case <-timeout.C:
			return
		}
	}
}

// excess returns the request to cut off next, or nil if the lane is within its limits. The number of trials is
// checked only when one enters the lane. The mutex is held.
func (l *lane) excess(f *inflight, entering bool) *inflight {
	switch {
	case l.used > l.budget:
		return l.worst()
	case entering && l == f.lanes.trials:
		return l.excessTrial(f)
	}
	return nil
}

// worst returns the request without a slot that has the largest product of its cost, its age, and the costs of its
// connection and of its address; nil if there is none. So the many requests of one client are cut off before
// the few of another.
func (l *lane) worst() (worst *inflight) {
	most := -1.0
	now := time.Now()
	for f := range l.withoutSlot {
		product := float64(f.cost) * now.Sub(f.start).Seconds() *
			float64(f.client.used.Load()) * float64(f.client.peer.used.Load())
		if product > most {
			worst, most = f, product
		}
	}
	return worst
}

// excessTrial returns the largest trial without a slot of the address of f, or nil if the address has few.
func (l *lane) excessTrial(f *inflight) *inflight {
	count, largest := 0, f
	for one := range l.withoutSlot {
		if one.client.peer == f.client.peer {
			count++
			if one.cost > largest.cost {
				largest = one
			}
		}
	}
	if count <= maxTrials {
		return nil
	}
	return largest
}

// next returns the request that gets the next slot, or nil if none waits for one. Addresses take turns,
// and so do the connections of an address. So a client that sends many requests delays only its own.
func (l *lane) next() (next *inflight) {
	for f := range l.withoutSlot {
		if f.granted != nil && (next == nil || f.precedes(next)) {
			next = f
		}
	}
	return next
}

// precedes reports whether the request gets a slot before another one. Trials of one address are ordered by
// urgency: they take from a millisecond to a second, depending on their size, so small ones go first, but a large
// one does not wait forever.
func (f *inflight) precedes(other *inflight) bool {
	order := cmp.Compare(f.client.peer.lastSlot.Load(), other.client.peer.lastSlot.Load())
	if f.lane == f.lanes.trials {
		order = cmp.Or(order, cmp.Compare(other.urgency(), f.urgency()))
	}
	own := cmp.Compare(f.client.lastSlot.Load(), other.client.lastSlot.Load())
	return cmp.Or(order, own, f.start.Compare(other.start)) < 0
}

// urgency returns the age of the request divided by its cost.
func (f *inflight) urgency() float64 {
	return time.Since(f.start).Seconds() / float64(f.cost)
}
