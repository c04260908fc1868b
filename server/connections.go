package server

import (
	"net"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
)

const (
	// maxConnections and maxPeerConnections are the limits of a port, in total and from one address. An API
	// server has one or a few connections.
	maxConnections     = 1024
	maxPeerConnections = 128
	// minIdleTime is how long a connection that works stays idle before a new one may displace it.
	minIdleTime = time.Second
	// excessIdleTimeout is how long a connection stays idle while its peer opens more than half of
	// maxPeerConnections.
	excessIdleTimeout = 10 * time.Second
	// stallTimeout is how long a connection may be busy without a response before it counts as stalled.
	stallTimeout = 5 * time.Second
	// reopenRate is how many connections per second an address may open after it has cancelled half of
	// peerResetBurst, until its limiter has recovered, which takes two seconds.
	reopenRate = 5
	// maxRemembered is how many addresses without connections a port remembers because they cancelled requests.
	maxRemembered = 4 * maxConnections
)

// The ports in metrics.
const (
	webhookPort   = "webhook"
	lifecyclePort = "lifecycle"
)

// The causes of closing a connection in metrics.
const (
	closedDisplaced = "displaced"
	closedRefused   = "refused"
	closedResets    = "resets"
)

// connections is a listener that limits the connections of its port. A connection over the limit
// displaces the connection of the same peer that has been idle for longest, or else stalled. If there is
// none, the new one is closed. If the port is full, the peer with most connections loses one to a peer with
// fewer, even if all of them are busy. Thus hoards of connections lose, and an API server keeps a connection
// that works.
type connections struct {
	net.Listener
	port    string
	metrics *Metrics
	log     *throttle

	mutex sync.Mutex
	total int
	peers map[string]*peer
}

// peer is an address with open connections.
type peer struct {
	usage
	address string
	open    map[*connection]struct{}
	resets  *rate.Limiter
	reopens *rate.Limiter
}

// newPeer returns a peer without connections.
func newPeer(address string) *peer {
	p := &peer{
		address: address, open: make(map[*connection]struct{}),
		resets:  rate.NewLimiter(peerResetRate, peerResetBurst),
		reopens: rate.NewLimiter(reopenRate, reopenRate),
	}
	p.lastSlot.Store(time.Now().UnixNano())
	return p
}

// mayOpen reports whether the peer may open a connection now. A peer that has cancelled many requests may
// open few.
func (p *peer) mayOpen() bool {
	return p.resets.Tokens() >= peerResetBurst/2 || p.reopens.Allow()
}

func newConnections(listener net.Listener, port string, metrics *Metrics, log zerolog.Logger) *connections {
	return &connections{
		Listener: listener, port: port, metrics: metrics, log: newThrottle(log, "closed connections"),
		peers: make(map[string]*peer),
	}
}

// Accept implements net.Listener.
func (c *connections) Accept() (net.Conn, error) {
	for {
		accepted, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if next := c.admit(accepted); next != nil {
			return next, nil
		}
	}
}

// admit returns the connection if there is room for it, and closes another one if needed. Otherwise it
// closes the connection and returns nil.
func (c *connections) admit(accepted net.Conn) *connection {
	address, _, err := net.SplitHostPort(accepted.RemoteAddr().String())
	if err != nil {
		address = accepted.RemoteAddr().String()
	}
	c.mutex.Lock()
	next := newConnection(accepted, c, c.peerAt(address))
	var victim *connection
	room, cause := false, closedResets
	if next.peer.mayOpen() {
		victim, room = c.findRoom(next.peer)
		cause = closedRefused
	}
	if victim != nil {
		c.remove(victim)
	}
	if room {
		c.add(next)
	}
	c.mutex.Unlock()
	if victim != nil {
		victim.closeFor(closedDisplaced)
	}
	if !room {
		next.closeFor(cause)
		return nil
	}
	return next
}

// peerAt returns the peer with the address. The mutex is held.
func (c *connections) peerAt(address string) *peer {
	if known := c.peers[address]; known != nil {
		return known
	}
	return newPeer(address)
}

// findRoom reports whether there is room for a connection of the peer if the victim is closed. The
// victim is nil if none needs to be. The mutex is held.
func (c *connections) findRoom(from *peer) (victim *connection, room bool) {
	now := time.Now()
	own := from.open
	switch {
	case len(own) >= maxPeerConnections:
		victim = findVictim(own, now)
		return victim, victim != nil
	case c.total >= maxConnections:
		largest := c.largestPeer()
		victim = findVictim(largest, now)
		if victim == nil && len(largest) >= len(own)+2 {
			victim = oldest(largest)
		}
		return victim, victim != nil
	case len(own) >= maxPeerConnections/2:
		victim = findVictim(own, now)
		if victim != nil && (victim.busy.Load() || victim.idleTime(now) < excessIdleTimeout) {
			victim = nil
		}
	}
	return victim, true
}

// findVictim returns the connection that has been idle for longest. If none can be displaced, it returns
// the one that has been busy without a response for longest, if it is stalled; otherwise nil.
func findVictim(open map[*connection]struct{}, now time.Time) *connection {
	var idle, busy *connection
	for one := range open {
		switch {
		case one.busy.Load():
			busy = older(busy, one)
		case !one.works.Load() || one.idleTime(now) >= minIdleTime:
			idle = older(idle, one)
		}
	}
	if idle == nil && busy != nil && busy.idleTime(now) > stallTimeout {
		return busy
	}
	return idle
}

// older returns the connection that has not responded for longer. The first one may be nil.
func older(one, other *connection) *connection {
	if one == nil || other.since.Load() < one.since.Load() {
		return other
	}
	return one
}

// oldest returns the connection that has not responded for longest, busy or not.
func oldest(open map[*connection]struct{}) (oldest *connection) {
	for one := range open {
		oldest = older(oldest, one)
	}
	return oldest
}

func (c *connections) largestPeer() (largest map[*connection]struct{}) {
	for _, one := range c.peers {
		if len(one.open) > len(largest) {
			largest = one.open
		}
	}
	return largest
}

// add and remove are called with the mutex held.
func (c *connections) add(one *connection) {
	c.peers[one.peer.address] = one.peer
	one.peer.open[one] = struct{}{}
	c.total++
	c.metrics.connections.WithLabelValues(c.port).Set(float64(c.total))
}

func (c *connections) remove(one *connection) {
	open := one.peer.open
	if _, found := open[one]; !found {
		return
	}
	delete(open, one)
	if len(open) == 0 {
		c.forget(one.peer)
	}
	c.total--
	c.metrics.connections.WithLabelValues(c.port).Set(float64(c.total))
}

// forget removes a peer without connections. A peer that has recently cancelled requests is remembered, so
// that they count when it connects again. The mutex is held.
func (c *connections) forget(from *peer) {
	if from.resets.Tokens() >= peerResetBurst {
		delete(c.peers, from.address)
		return
	}
	if len(c.peers) < maxConnections+maxRemembered {
		return
	}
	for address, one := range c.peers {
		if len(one.open) == 0 {
			delete(c.peers, address)
		}
	}
}

// countClosed counts and logs a connection that was closed because of a limit.
func (c *connections) countClosed(peer, cause string) {
	c.metrics.closed.WithLabelValues(c.port, cause).Inc()
	message := "connection closed: a new connection displaces it"
	switch cause {
	case closedRefused:
		message = "connection refused: the peer has too many"
	case closedResets:
		message = "connection closed: the peer cancels too many requests"
	}
	c.log.event(zerolog.WarnLevel).Str("peer", peer).Str("port", c.port).Str("cause", cause).Msg(message)
}
