package server

import (
	"cmp"
	"runtime"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
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
	// maxTrials is how many trials of one address may wait. An API server has few reviews of ConfigMaps at once.
	maxTrials = 16
	// cutTimeout bounds how long a request waits for others to leave.
	cutTimeout = time.Second
)

// Lanes bound the memory of all requests together. Requests with small bodies have a lane of their own,
// so that large bodies cannot delay usual reviews. So do changes of ConfigMaps once they are decoded. Lanes
// are safe for concurrent use.
type Lanes struct {
	small, large, trials *lane
	unknown              *connection // of requests that no server has accepted
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

// lane is a budget of bytes for requests that wait, and a number of slots for those that compute.
// A request is charged for its body until it is decoded, and then for its response until it is sent.
type lane struct {
	budget int64

	mutex   sync.Mutex
	free    int                 // the number of free slots; 0 while a request waits for a slot
	used    int64               // the bytes that all requests are charged for
	waiting sets.Set[*inflight] // requests without a slot: they can be cut off
}

func newLane(budget int64, slots int) *lane {
	return &lane{budget: budget, free: slots, waiting: sets.New[*inflight]()}
}

// makeRoom cuts off requests until the lane is within its limits, so that slow clients lose their place to
// new ones. It waits until these requests have left, for cutTimeout at most: not every ResponseWriter has
// deadlines by which it can be cut off. The mutex is held when it is called and when it returns.
func (l *lane) makeRoom(f *inflight, entering bool) {
	var victims []*inflight
	for !f.cut {
		victim := l.excess(f, entering)
		if victim == nil {
			break
		}
		victim.evict()
		if victim != f {
			victim.cutting.Add(1)
			victims = append(victims, victim)
		}
	}
	if victims == nil {
		return
	}
	l.mutex.Unlock()
	defer l.mutex.Lock()
	for _, victim := range victims {
		victim.cutOff()
	}
	timeout := time.NewTimer(cutTimeout)
	defer timeout.Stop()
	for _, victim := range victims {
		select {
		case <-victim.left:
		case <-timeout.C:
			return
		}
	}
}

// excess returns the waiting request that is cut off next, or nil if the lane is within its limits. The number of
// trials is limited when one enters the lane. The mutex is held.
func (l *lane) excess(f *inflight, entering bool) *inflight {
	switch {
	case l.used > l.budget:
		return l.worst()
	case entering && l == f.lanes.trials:
		return l.excessTrial(f)
	}
	return nil
}

// worst returns the waiting request with the largest product of its bytes, its age, and the bytes of its
// connection and of its address; nil if none waits. Thus many requests of one client are cut off before
// the few of another one.
func (l *lane) worst() (worst *inflight) {
	most := -1.0
	now := time.Now()
	for f := range l.waiting {
		product := float64(f.cost) * now.Sub(f.start).Seconds() *
			float64(f.client.used.Load()) * float64(f.client.peer.used.Load())
		if product > most {
			worst, most = f, product
		}
	}
	return worst
}

// excessTrial returns the largest waiting trial of the address of f if there are too many of them.
func (l *lane) excessTrial(f *inflight) *inflight {
	count, largest := 0, f
	for one := range l.waiting {
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
// and so do the connections of an address. Thus a client that sends many requests delays only its own.
func (l *lane) next() (next *inflight) {
	for f := range l.waiting {
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
	order := cmp.Compare(f.client.peer.lastSlot.Load(), other.client.peer.lastSlot.Load())
	if f.lane == f.lanes.trials {
		order = cmp.Or(order, cmp.Compare(other.urgency(), f.urgency()))
	}
	own := cmp.Compare(f.client.lastSlot.Load(), other.client.lastSlot.Load())
	return cmp.Or(order, own, f.start.Compare(other.start)) < 0
}

// urgency returns the age of the request for each byte that it is charged for.
func (f *inflight) urgency() float64 {
	return time.Since(f.start).Seconds() / float64(f.cost)
}
