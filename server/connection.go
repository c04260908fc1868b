package server

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/util/sets"
)

const (
	// resetRate and resetBurst are how many requests per second a connection may cancel. API servers cancel
	// reviews that time out, at most maxStreams at once.
	resetRate  = 20
	resetBurst = 300
	// peerResetRate and peerResetBurst are the same for all connections of an address. An API server that
	// cancels all reviews of all of its connections stays within them.
	peerResetRate  = 500
	peerResetBurst = maxPeerConnections * maxStreams
	// reopenRate is how many connections per second an address may open after it has cancelled half of
	// peerResetBurst, until its limiter has recovered, which takes two seconds.
	reopenRate = 5
)

// usage is how much requests of a connection or an address use the lanes.
type usage struct {
	lastSlot atomic.Int64 // Unix nanoseconds of the last slot, or of the beginning
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

// mayOpen reports whether the peer may open a connection now. A peer that has cancelled many requests may
// open few.
func (p *peer) mayOpen() bool {
	return p.resets.Tokens() >= peerResetBurst/2 || p.reopens.Allow()
}

// victim returns the connection of the peer with the lowest rank and, of these, the one that has not responded
// for longest.
func (p *peer) victim(now time.Time) (victim *connection, lowest int) {
	for one := range p.open {
		rank := one.rank(now)
		if victim == nil || rank < lowest || rank == lowest && one.since.Load() < victim.since.Load() {
			victim, lowest = one, rank
		}
	}
	return victim, lowest
}

// connection is one of the connections of a port. It is idle until its first request, and between
// requests.
type connection struct {
	net.Conn
	usage
	port   *connections
	peer   *peer
	busy   atomic.Bool
	works  atomic.Bool  // whether a request was ever answered
	closed atomic.Bool  // because of a limit
	served atomic.Bool  // whether a request was answered since the connection became busy
	since  atomic.Int64 // Unix nanoseconds of the last response, or of the beginning
	resets *rate.Limiter
}

func newConnection(accepted net.Conn, port *connections, from *peer) *connection {
	c := &connection{Conn: accepted, port: port, peer: from, resets: rate.NewLimiter(resetRate, resetBurst)}
	now := time.Now().UnixNano()
	c.since.Store(now)
	c.lastSlot.Store(now)
	return c
}

// The ranks of connections. A connection with a lower rank is displaced first.
const (
	rankIdle = iota
	rankStalled
	rankActive
)

// rank returns the rank of the connection.
func (c *connection) rank(now time.Time) int {
	idle, busy := c.idleTime(now), c.busy.Load()
	switch {
	case !busy && (idle >= minIdleTime || !c.works.Load()):
		return rankIdle
	case busy && idle > stallTimeout:
		return rankStalled
	}
	return rankActive
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

// idleTime returns the time since the last response.
func (c *connection) idleTime(now time.Time) time.Duration {
	return time.Duration(now.UnixNano() - c.since.Load())
}

// answered notes that a request of the connection was answered or cancelled.
func (c *connection) answered(cancelled bool) {
	c.since.Store(time.Now().UnixNano())
	if cancelled {
		c.reset()
		return
	}
	c.served.Store(true)
	c.works.Store(true)
}

// reset counts a cancelled request. A connection that cancels faster than any API server is closed. If its
// address does, so is each connection that takes part, but not one that cancels a few requests.
func (c *connection) reset() {
	few := c.resets.Tokens() > resetBurst-2*maxStreams
	own, all := c.resets.Allow(), c.peer.resets.Allow()
	if !own || !all && !few {
		c.closeFor(closedResets)
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

// observe makes a server report what its connections do.
func (c *connections) observe(server *http.Server) {
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
			if strings.Contains(kind, "too_many_early_resets") { // the HTTP/2 server closes the connection itself
				c.countClosed("", closedResets)
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
