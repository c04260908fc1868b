package server

import (
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/util/sets"
)

const (
	// peerResetRate and peerResetBurst are how many requests per second all connections of an address may
	// cancel. An API server that cancels all reviews of all of its connections stays within them.
	peerResetRate  = 500
	peerResetBurst = maxPeerConnections * maxStreams
	// reopenRate is how many connections per second an address may open while less than half of
	// peerResetBurst is left. An empty limiter recovers that half in two seconds.
	reopenRate = 5
)

// usage is the use of the lanes by the requests of a connection or an address.
type usage struct {
	lastSlot atomic.Int64 // Unix nanoseconds of the last slot, or of the creation
	used     atomic.Int64 // the bytes that they are charged for
}

// peer is an address with connections.
type peer struct {
	usage
	address string
	open    sets.Set[*connection]
	resets  *rate.Limiter
	reopens *rate.Limiter
}

// newPeer returns a peer without connections.
func newPeer(address string) *peer {
	p := &peer{
		address: address, open: sets.New[*connection](),
		resets:  rate.NewLimiter(peerResetRate, peerResetBurst),
		reopens: rate.NewLimiter(reopenRate, reopenRate),
	}
	p.lastSlot.Store(time.Now().UnixNano())
	return p
}

// mayOpen reports whether the peer may open a connection now. The rate is limited only for a peer that has
// cancelled many requests.
func (p *peer) mayOpen() bool {
	return p.resets.Tokens() >= peerResetBurst/2 || p.reopens.Allow()
}

// victim returns the connection of the peer with the lowest rank and, of these, the one whose last activity is
// oldest.
func (p *peer) victim(now time.Time) (victim *connection, lowest int) {
	for one := range p.open {
		rank := one.rank(now)
		if victim == nil || rank < lowest || rank == lowest && one.lastActive.Load() < victim.lastActive.Load() {
			victim, lowest = one, rank
		}
	}
	return victim, lowest
}
