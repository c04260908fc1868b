package server

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
)

const (
	// maxConnections and maxPeerConnections are how many connections a port has, in total and from one
	// address. An API server has one or a few.
	maxConnections     = 1024
	maxPeerConnections = 128
	// excessIdleTimeout is how long a connection stays idle while its peer opens more than half of
	// maxPeerConnections.
	excessIdleTimeout = 10 * time.Second
	// stallTimeout is how long a connection may be busy without an answer before it counts as stalled.
	stallTimeout = 5 * time.Second
	// resetRate and resetBurst are how many requests a second a connection may cancel. API servers cancel
	// reviews that time out, at most maxStreams at once.
	resetRate  = 20
	resetBurst = 300
	// peerResetRate and peerResetBurst are the same for all connections of an address. An API server that
	// cancels all reviews of all of its connections stays within them.
	peerResetRate  = 500
	peerResetBurst = maxPeerConnections * maxStreams
	// reopenRate is how many connections a second an address may open after it has canceled half of
	// peerResetBurst, until its limiter has recovered, which takes two seconds.
	reopenRate = 5
	// maxRemembered is how many addresses without connections a port remembers because they canceled requests.
	maxRemembered = 4 * maxConnections
)

// The ports and causes in metrics.
const (
	webhookPort    = "webhook"
	lifecyclePort  = "lifecycle"
	causeDisplaced = "displaced"
	causeRefused   = "refused"
	causeResets    = "resets"
)

// connections is a listener that limits the connections of its port. A connection over the limit
// displaces the connection of the same peer that has been idle for longest, or else stalled. Only if
// there is none, the new one is closed. If the port is full, the peer with most connections loses one to
// a peer that has fewer, even if all of them are busy. Thus hoards of connections lose, and an API server
// whose reviews are answered keeps its connection.
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
	share
	address string
	open    map[*connection]struct{}
	resets  *rate.Limiter
	reopens *rate.Limiter
}

// newPeer returns a peer without connections.
func newPeer(address string) *peer {
	p := &peer{
		address: address, open: make(map[*connection]struct{}),
		resets: rate.NewLimiter(peerResetRate, peerResetBurst), reopens: rate.NewLimiter(reopenRate, reopenRate),
	}
	p.turn.Store(time.Now().UnixNano())
	return p
}

// resetting reports whether the peer has canceled many requests lately.
func (p *peer) resetting() bool {
	return p.resets.Tokens() < peerResetBurst/2
}

// share is what the requests of a connection or of an address have of the lanes.
type share struct {
	turn atomic.Int64 // Unix nanoseconds of when one last got a slot, or of the beginning
	used atomic.Int64 // the bytes that they are charged for
}

func newConnections(listener net.Listener, port string, metrics *Metrics, log zerolog.Logger) *connections {
	return &connections{
		Listener: listener, port: port, metrics: metrics, log: newThrottle(log),
		peers: make(map[string]*peer),
	}
}

// connection is one of the connections of a port. It is idle until its first request, and between
// requests.
type connection struct {
	net.Conn
	share
	port   *connections
	peer   *peer
	busy   atomic.Bool
	closed atomic.Bool  // because of a limit
	served atomic.Bool  // whether a request was answered since the connection became busy
	since  atomic.Int64 // Unix nanoseconds of the last answer, or of the beginning
	resets *rate.Limiter
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
	room, cause := false, causeResets
	if !next.peer.resetting() || next.peer.reopens.Allow() {
		victim, room = c.findRoom(next.peer)
		cause = causeRefused
	}
	if victim != nil {
		c.remove(victim)
	}
	if room {
		c.add(next)
	}
	c.mutex.Unlock()
	if victim != nil {
		victim.closeFor(causeDisplaced)
	}
	if !room {
		next.closeFor(cause)
		return nil
	}
	return next
}

func newConnection(accepted net.Conn, port *connections, from *peer) *connection {
	c := &connection{Conn: accepted, port: port, peer: from, resets: rate.NewLimiter(resetRate, resetBurst)}
	now := time.Now().UnixNano()
	c.since.Store(now)
	c.turn.Store(now)
	return c
}

// peerAt returns the peer with the address. The mutex is held.
func (c *connections) peerAt(address string) *peer {
	if known := c.peers[address]; known != nil {
		return known
	}
	return newPeer(address)
}

// findRoom reports whether there is room for a connection of the peer, if the victim is closed. The
// victim is nil if none needs to be. The mutex is held.
func (c *connections) findRoom(from *peer) (victim *connection, room bool) {
	now := time.Now()
	own := from.open
	switch {
	case len(own) >= maxPeerConnections:
		victim = longestWithout(own, now)
		return victim, victim != nil
	case c.total >= maxConnections:
		largest := c.largestPeer()
		victim = longestWithout(largest, now)
		if victim == nil && len(largest) >= len(own)+2 {
			victim = leastRecent(largest)
		}
		return victim, victim != nil
	case len(own) >= maxPeerConnections/2:
		victim = longestWithout(own, now)
		if victim != nil && (victim.busy.Load() || now.UnixNano()-victim.since.Load() < int64(excessIdleTimeout)) {
			victim = nil
		}
	}
	return victim, true
}

// longestWithout returns the connection that has been idle for longest. If none is idle, it returns the
// one that has been busy without an answer for longest, if that is long; else nil.
func longestWithout(open map[*connection]struct{}, now time.Time) *connection {
	var idle, busy *connection
	for one := range open {
		found := &idle
		if one.busy.Load() {
			found = &busy
		}
		if *found == nil || one.since.Load() < (*found).since.Load() {
			*found = one
		}
	}
	if idle == nil && busy != nil && now.UnixNano()-busy.since.Load() > int64(stallTimeout) {
		return busy
	}
	return idle
}

// leastRecent returns the connection whose last answer is the oldest, busy or not.
func leastRecent(open map[*connection]struct{}) (oldest *connection) {
	for one := range open {
		if oldest == nil || one.since.Load() < oldest.since.Load() {
			oldest = one
		}
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

// forget removes a peer without connections. One that has canceled requests lately is remembered, so that they
// count when it connects again. The mutex is held.
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

// Close implements net.Conn.
func (c *connection) Close() error {
	c.port.mutex.Lock()
	c.port.remove(c)
	c.port.mutex.Unlock()
	return c.Conn.Close()
}

// closeFor closes the connection because of a limit.
func (c *connection) closeFor(cause string) {
	if c.closed.Swap(true) {
		return
	}
	_ = c.Close()
	c.port.countClosed(c.peer.address, cause)
}

func (c *connections) countClosed(peer, cause string) {
	c.metrics.closed.WithLabelValues(c.port, cause).Inc()
	c.log.event(zerolog.WarnLevel).Str("peer", peer).Str("port", c.port).Str("cause", cause).
		Msg("connection closed: its peer has too many, or cancels too many requests")
}

// turns returns when requests of the address and of the connection last got a slot. The connection may
// be nil.
func (c *connection) turns() (peer, own int64) {
	if c == nil {
		return 0, 0
	}
	return c.peer.turn.Load(), c.turn.Load()
}

// tookTurn notes that a request of the connection got a slot.
func (c *connection) tookTurn() {
	if c == nil {
		return
	}
	now := time.Now().UnixNano()
	c.peer.turn.Store(now)
	c.turn.Store(now)
}

// charge notes that requests of the connection are charged for more bytes, or less if that is negative.
func (c *connection) charge(more int64) {
	if c != nil {
		c.used.Add(more)
		c.peer.used.Add(more)
	}
}

// weight returns the product of the bytes that requests of the connection and of the address are charged for.
func (c *connection) weight() float64 {
	if c == nil {
		return 1
	}
	return float64(c.used.Load()) * float64(c.peer.used.Load())
}

// answered notes that a request of the connection has ended, in an answer or because it was cancelled.
func (c *connection) answered(cancelled bool) {
	c.since.Store(time.Now().UnixNano())
	if cancelled {
		c.reset()
	} else {
		c.served.Store(true)
	}
}

// reset counts a cancelled request. A connection that cancels faster than any API server is closed. If its
// address does, so is each connection that takes part, but not one that cancels a few requests.
func (c *connection) reset() {
	few := c.resets.Tokens() > resetBurst-2*maxStreams
	own, all := c.resets.Allow(), c.peer.resets.Allow()
	if !own || !all && !few {
		c.closeFor(causeResets)
	}
}

// changed notes that the connection became busy or idle. Under a flood, the HTTP/2 server sees far more
// cancelled requests than it starts handlers for, but it always reports these changes.
func (c *connection) changed(state http.ConnState) {
	c.since.Store(time.Now().UnixNano())
	c.busy.Store(state == http.StateActive)
	if !c.served.Swap(false) && state == http.StateIdle {
		c.reset()
	}
}

// connectionKey is the key of the *connection in the context of a request.
type connectionKey struct{}

// limit makes a server use the limits of the port.
func (c *connections) limit(server *http.Server) {
	server.ConnContext = func(ctx context.Context, opened net.Conn) context.Context {
		return context.WithValue(ctx, connectionKey{}, connectionOf(opened))
	}
	server.ConnState = func(opened net.Conn, state http.ConnState) {
		if state == http.StateActive || state == http.StateIdle {
			connectionOf(opened).changed(state)
		}
	}
	if server.HTTP2 != nil {
		server.HTTP2.CountError = func(kind string) {
			if strings.Contains(kind, "too_many_early_resets") { // the HTTP/2 server was faster than we
				c.countClosed("", causeResets)
			}
		}
	}
	next := server.Handler
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		one := r.Context().Value(connectionKey{}).(*connection)
		defer func() { one.answered(r.Context().Err() != nil || isReset(w, r)) }()
		if r.Context().Err() == nil {
			next.ServeHTTP(w, r)
		}
	})
}

// isReset reports whether the stream of a request has ended without its response. The context of a request
// does not end if the server resets the stream itself, because the client broke the protocol.
func isReset(w http.ResponseWriter, r *http.Request) bool {
	return r.ProtoMajor == 2 && http.NewResponseController(w).Flush() != nil
}

// connectionOf returns the connection below TLS.
func connectionOf(opened net.Conn) *connection {
	if secured, ok := opened.(*tls.Conn); ok {
		opened = secured.NetConn()
	}
	return opened.(*connection)
}
