package server

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// resetRate and resetBurst are how many requests per second a connection may cancel. API servers cancel
// reviews that time out, at most maxStreams at once.
const (
	resetRate  = 20
	resetBurst = 300
)

// connection is a connection of a port. It is idle until its first request, and between requests.
type connection struct {
	net.Conn
	usage
	listener          *limitListener
	peer              *peer
	resets            *rate.Limiter
	busy              atomic.Bool
	everAnswered      atomic.Bool  // whether a request was ever answered
	answeredSinceBusy atomic.Bool  // whether a request was answered since the connection became busy
	closed            atomic.Bool  // because of a limit
	lastActive        atomic.Int64 // Unix nanoseconds of the last response or change of state, or of the creation
}

func newConnection(accepted net.Conn, listener *limitListener, from *peer) *connection {
	c := &connection{
		Conn: accepted, listener: listener, peer: from, resets: rate.NewLimiter(resetRate, resetBurst),
	}
	now := time.Now().UnixNano()
	c.lastActive.Store(now)
	c.lastSlot.Store(now)
	return c
}

// connectionKey is the key of the *connection in the context of a request.
type connectionKey struct{}

// connectionOf returns the connection below TLS.
func connectionOf(opened net.Conn) *connection {
	if secured, ok := opened.(*tls.Conn); ok {
		opened = secured.NetConn()
	}
	return opened.(*connection)
}

// The ranks of connections. A connection with a lower rank is displaced first.
const (
	rankIdle = iota
	rankStalled
	rankActive
)

func (c *connection) rank(now time.Time) int {
	inactive, busy := c.inactivity(now), c.busy.Load()
	switch {
	case !busy && (inactive >= minIdleTime || !c.everAnswered.Load()):
		return rankIdle
	case busy && inactive > stallTimeout:
		return rankStalled
	}
	return rankActive
}

// inactivity returns the time since the last response or change of state.
func (c *connection) inactivity(now time.Time) time.Duration {
	return time.Duration(now.UnixNano() - c.lastActive.Load())
}

// answered notes that a request of the connection was answered or cancelled.
func (c *connection) answered(cancelled bool) {
	c.lastActive.Store(time.Now().UnixNano())
	if cancelled {
		c.countReset()
		return
	}
	c.answeredSinceBusy.Store(true)
	c.everAnswered.Store(true)
}

// stateChanged notes that the connection became busy or idle. If it became idle without an answer, that counts
// as a cancelled request: under a flood, the HTTP/2 server resets most streams without calling the handler, but
// it always reports these changes.
func (c *connection) stateChanged(state http.ConnState) {
	c.lastActive.Store(time.Now().UnixNano())
	c.busy.Store(state == http.StateActive)
	if !c.answeredSinceBusy.Swap(false) && state == http.StateIdle {
		c.countReset()
	}
}

// countReset counts a cancelled request, and closes the connection if it exceeds its limit. If its address
// exceeds its own limit, the connection is closed unless it has cancelled only a few requests.
func (c *connection) countReset() {
	few := c.resets.Tokens() > resetBurst-2*maxStreams
	own, all := c.resets.Allow(), c.peer.resets.Allow()
	if !own || !all && !few {
		c.closeFor(closedResets)
	}
}

// closeFor closes the connection because of a limit.
func (c *connection) closeFor(cause string) {
	if c.closed.Swap(true) {
		return
	}
	_ = c.Close()
	c.listener.countClosed(c.peer.address, cause)
}

// Close implements net.Conn.
func (c *connection) Close() error {
	c.listener.mutex.Lock()
	c.listener.remove(c)
	c.listener.mutex.Unlock()
	return c.Conn.Close()
}
