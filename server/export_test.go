package server

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/rs/zerolog"
)

// SetTimeouts shortens what a test would otherwise wait for: a client's header, its body, and
// the end of requests in flight. It must come before Run.
func (s *Server) SetTimeouts(header, body, grace time.Duration) {
	s.webhook.ReadHeaderTimeout = header
	s.webhook.ReadTimeout = body
	s.grace = grace
}

// NewErrorLog is what net/http writes its lines to.
func NewErrorLog(log zerolog.Logger) io.Writer {
	return newErrorLog(log)
}

// HoldTurn lets no change be tried until the function is called.
func (v *Validator) HoldTurn() (release func()) {
	x := &exchange{lanes: v.lanes, control: http.NewResponseController(nil), start: time.Now()}
	if x.enter(&v.lanes.trials, 0) != nil || x.acquire(context.Background()) != nil {
		panic("no turn")
	}
	return x.leave
}

// LogPanic logs the stack of a panic, and reports whether the error is one.
func (v *Validator) LogPanic(err error) bool {
	return v.logPanic(err)
}

// Used returns the bytes that are charged to the lanes.
func (l *Lanes) Used() int64 {
	return l.small.used + l.large.used + l.trials.used
}

// The limits of connections.
const (
	MaxConnections     = maxConnections
	MaxPeerConnections = maxPeerConnections
	StallTimeout       = stallTimeout
	ExcessIdleTimeout  = excessIdleTimeout
	PeerResetBurst     = peerResetBurst
	PeerResetRate      = peerResetRate
	ReopenRate         = reopenRate
)

// Limit returns the listener that a server gets, and makes the server use its limits.
func Limit(server *http.Server, listener net.Listener, metrics *Metrics) net.Listener {
	return limited(server, listener, webhookPort, &Options{Metrics: metrics, Log: zerolog.Nop()})
}

// Client is a connection that sends requests.
type Client = connection

// NewClient returns a connection from the address of another one, or from a new address if that is nil.
func NewClient(other *Client) *Client {
	from := newPeer("")
	if other != nil {
		from = other.peer
	}
	return newConnection(nil, nil, from)
}

// Slots returns how many requests with small bodies may compute at once.
func (l *Lanes) Slots() int {
	return l.small.free
}

// Compute calls a function in a slot, for a request of the client.
func (l *Lanes) Compute(ctx context.Context, client *Client, compute func()) error {
	x := exchange{lanes: l, control: http.NewResponseController(nil), client: client, start: time.Now()}
	defer x.leave()
	if err := x.enter(&l.small, requestCost); err != nil {
		return err
	}
	if err := x.acquire(ctx); err != nil {
		return err
	}
	compute()
	return nil
}

// MostTrials is how many trials of one address may wait.
const MostTrials = mostTrials

// Try calls a function in the turn of a trial that is charged for that many bytes.
func (l *Lanes) Try(ctx context.Context, client *Client, size int64, compute func()) error {
	x := exchange{lanes: l, control: http.NewResponseController(nil), client: client, start: time.Now()}
	defer x.leave()
	if err := x.enterTrial(size); err != nil {
		return err
	}
	if err := x.acquire(ctx); err != nil {
		return err
	}
	compute()
	return nil
}
