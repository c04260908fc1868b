package server

import (
	"context"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

const (
	// maxConnections and maxPeerConnections are the limits of a port, in total and from one address. An API
	// server has one or a few connections.
	maxConnections     = 1024
	maxPeerConnections = 128
	// minIdleTime is how long a connection that has answered a request stays idle before it may be displaced.
	minIdleTime = time.Second
	// excessIdleTimeout is how long a connection stays idle while its peer, with at least half of
	// maxPeerConnections, opens more.
	excessIdleTimeout = 10 * time.Second
	// stallTimeout is how long a connection may be busy without a response before it is stalled.
	stallTimeout = 5 * time.Second
	// maxRemembered limits the addresses without connections that a port remembers for their cancelled requests.
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

// closedMessage returns the log message of a cause.
func closedMessage(cause string) string {
	switch cause {
	case closedDisplaced:
		return "connection closed: a new connection displaces it"
	case closedRefused:
		return "connection refused: the peer has too many"
	default:
		return "connection closed: the peer cancels too many requests"
	}
}

// limitListener is a listener that limits the connections of its port.
//
// A connection over the limit of its peer displaces the connection of that peer that has been idle for longest
// or, if none is idle, stalled for longest. If there is none either, the new connection is closed. If the port is
// full, the peer with most connections loses one to a peer with fewer, even if all of them are busy. So a peer that
// hoards connections loses them, and an API server keeps one that works.
type limitListener struct {
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
	l := &limitListener{
		Listener: listener, port: port, metrics: metrics, log: throttled(log, "closed connections"),
		peers: make(map[string]*peer),
	}
	l.observe(server)
	return l
}

// observe makes a server report the state and the requests of its connections.
func (l *limitListener) observe(server *http.Server) {
	server.ConnContext = func(ctx context.Context, opened net.Conn) context.Context {
		return context.WithValue(ctx, connectionKey{}, connectionOf(opened))
	}
	server.ConnState = func(opened net.Conn, state http.ConnState) {
		if state == http.StateActive || state == http.StateIdle {
			connectionOf(opened).stateChanged(state)
		}
	}
	if server.HTTP2 != nil {
		server.HTTP2.CountError = func(kind string) {
			if strings.Contains(kind, "too_many_early_resets") { // the HTTP/2 server closes the connection itself
				l.countClosed("", closedResets)
			}
		}
	}
	next := server.Handler
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client := r.Context().Value(connectionKey{}).(*connection)
		defer func() { client.answered(r.Context().Err() != nil || isReset(w, r)) }()
		if r.Context().Err() == nil {
			next.ServeHTTP(w, r)
		}
	})
}

// isReset reports whether the stream of a request ended without its response. If the server itself resets the
// stream, because the client broke the protocol, the context of the request does not end.
func isReset(w http.ResponseWriter, r *http.Request) bool {
	return r.ProtoMajor == 2 && http.NewResponseController(w).Flush() != nil
}

// Accept implements net.Listener.
func (l *limitListener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if next := l.admit(accepted); next != nil {
			return next, nil
		}
	}
}

// admit returns the connection if there is room for it, which may displace another one. Otherwise it closes the
// connection and returns nil.
func (l *limitListener) admit(accepted net.Conn) *connection {
	address, _, err := net.SplitHostPort(accepted.RemoteAddr().String())
	if err != nil {
		address = accepted.RemoteAddr().String()
	}
	l.mutex.Lock()
	from := l.peers[address]
	if from == nil {
		from = newPeer(address)
	}
	next := newConnection(accepted, l, from)
	if !from.mayOpen() {
		l.mutex.Unlock()
		next.closeFor(closedResets)
		return nil
	}
	victim, room := l.findRoom(from)
	if !room {
		l.mutex.Unlock()
		next.closeFor(closedRefused)
		return nil
	}
	if victim != nil {
		l.remove(victim)
	}
	l.add(next)
	l.mutex.Unlock()
	if victim != nil {
		victim.closeFor(closedDisplaced)
	}
	return next
}

// findRoom reports whether there is room for a connection of the peer once the victim is closed. The victim is
// nil if none needs to be. The mutex is held.
func (l *limitListener) findRoom(from *peer) (victim *connection, room bool) {
	now := time.Now()
	loser, maxRank := from, rankStalled
	switch own := len(from.open); {
	case own >= maxPeerConnections:
	case l.total >= maxConnections:
		loser = l.largestPeer()
		if len(loser.open) >= own+2 {
			maxRank = rankActive
		}
	case own >= maxPeerConnections/2:
		victim, rank := from.victim(now)
		if rank == rankIdle && victim.inactivity(now) >= excessIdleTimeout {
			return victim, true
		}
		return nil, true
	default:
		return nil, true
	}
	victim, rank := loser.victim(now)
	return victim, rank <= maxRank
}

func (l *limitListener) largestPeer() (largest *peer) {
	for _, one := range l.peers {
		if largest == nil || len(one.open) > len(largest.open) {
			largest = one
		}
	}
	return largest
}

// add adds a connection. The mutex is held.
func (l *limitListener) add(one *connection) {
	l.peers[one.peer.address] = one.peer
	one.peer.open.Insert(one)
	l.total++
	l.metrics.connections.WithLabelValues(l.port).Inc()
}

// remove removes a connection, and its peer if that has no others. A peer that has recently cancelled requests
// is remembered, so that they count when it connects again. The mutex is held.
func (l *limitListener) remove(one *connection) {
	from := one.peer
	if !from.open.Has(one) {
		return
	}
	from.open.Delete(one)
	l.total--
	l.metrics.connections.WithLabelValues(l.port).Dec()
	switch {
	case len(from.open) > 0:
	case from.resets.Tokens() >= peerResetBurst:
		delete(l.peers, from.address)
	case len(l.peers) >= maxConnections+maxRemembered:
		maps.DeleteFunc(l.peers, func(_ string, other *peer) bool { return len(other.open) == 0 })
	}
}

// countClosed counts and logs a connection that was closed because of a limit.
func (l *limitListener) countClosed(peer, cause string) {
	l.metrics.closed.WithLabelValues(l.port, cause).Inc()
	l.log.Warn().Str("peer", peer).Str("port", l.port).Str("cause", cause).Msg(closedMessage(cause))
}
