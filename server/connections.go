package server

import (
	"maps"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/rs/zerolog"
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

// closedMessages are the log messages by cause.
var closedMessages = map[string]string{
	closedDisplaced: "connection closed: a new connection displaces it",
	closedRefused:   "connection refused: the peer has too many",
	closedResets:    "connection closed: the peer cancels too many requests",
}

// connections is a listener that limits the connections of its port. A connection over the limit
// displaces the connection of the same peer that has been idle for longest, or else stalled. If there is
// none, the new one is closed. If the port is full, the peer with most connections loses one to a peer with
// fewer, even if all of them are busy. Thus hoards of connections lose, and an API server keeps a connection
// that works.
type connections struct {
	net.Listener
	port    string
	metrics *Metrics
	log     zerolog.Logger

	mutex sync.Mutex
	total int
	peers map[string]*peer
}

// limitConnections limits the connections of a server. It returns the listener to serve.
func limitConnections(
	server *http.Server, listener net.Listener, port string, metrics *Metrics, log zerolog.Logger,
) net.Listener {
	c := &connections{
		Listener: listener, port: port, metrics: metrics, log: throttled(log, "closed connections"),
		peers: make(map[string]*peer),
	}
	c.observe(server)
	return c
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
	from := c.peers[address]
	if from == nil {
		from = newPeer(address)
	}
	next := newConnection(accepted, c, from)
	if !from.mayOpen() {
		c.mutex.Unlock()
		next.closeFor(closedResets)
		return nil
	}
	victim, room := c.findRoom(from)
	if !room {
		c.mutex.Unlock()
		next.closeFor(closedRefused)
		return nil
	}
	if victim != nil {
		c.remove(victim)
	}
	c.add(next)
	c.mutex.Unlock()
	if victim != nil {
		victim.closeFor(closedDisplaced)
	}
	return next
}

// findRoom reports whether there is room for a connection of the peer if the victim is closed. The
// victim is nil if none needs to be. The mutex is held.
func (c *connections) findRoom(from *peer) (victim *connection, room bool) {
	now := time.Now()
	loser, most := from, rankStalled
	switch own := len(from.open); {
	case own >= maxPeerConnections:
	case c.total >= maxConnections:
		loser = c.largestPeer()
		if len(loser.open) >= own+2 {
			most = rankActive
		}
	case own >= maxPeerConnections/2:
		victim, rank := from.victim(now)
		if rank == rankIdle && victim.idleTime(now) >= excessIdleTimeout {
			return victim, true
		}
		return nil, true
	default:
		return nil, true
	}
	victim, rank := loser.victim(now)
	return victim, rank <= most
}

func (c *connections) largestPeer() (largest *peer) {
	for _, one := range c.peers {
		if largest == nil || len(one.open) > len(largest.open) {
			largest = one
		}
	}
	return largest
}

// add and remove are called with the mutex held.
func (c *connections) add(one *connection) {
	c.peers[one.peer.address] = one.peer
	one.peer.open.Insert(one)
	c.total++
	c.metrics.connections.WithLabelValues(c.port).Inc()
}

// remove removes a connection, and its peer if that has no others. A peer that has recently cancelled requests
// is remembered, so that they count when it connects again.
func (c *connections) remove(one *connection) {
	from := one.peer
	if !from.open.Has(one) {
		return
	}
	from.open.Delete(one)
	c.total--
	c.metrics.connections.WithLabelValues(c.port).Dec()
	switch {
	case len(from.open) > 0:
	case from.resets.Tokens() >= peerResetBurst:
		delete(c.peers, from.address)
	case len(c.peers) >= maxConnections+maxRemembered:
		maps.DeleteFunc(c.peers, func(_ string, other *peer) bool { return len(other.open) == 0 })
	}
}

// countClosed counts and logs a connection that was closed because of a limit.
func (c *connections) countClosed(peer, cause string) {
	c.metrics.closed.WithLabelValues(c.port, cause).Inc()
	c.log.Warn().Str("peer", peer).Str("port", c.port).Str("cause", cause).Msg(closedMessages[cause])
}
