package server

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/rs/zerolog"
)

// SetTimeouts sets the timeouts of a header and a body, and the grace period of requests in flight. It
// must be called before Run.
func (s *Server) SetTimeouts(header, body, grace time.Duration) {
	s.webhook.ReadHeaderTimeout = header
	s.webhook.ReadTimeout = body
	s.grace = grace
}

// SetDrained makes the drain delay last until the channel is closed. It must be called before Run.
func (s *Server) SetDrained(drained <-chan time.Time) {
	s.after = func(time.Duration) <-chan time.Time { return drained }
}

// NewErrorLog returns the writer of the lines of net/http.
func NewErrorLog(log zerolog.Logger) io.Writer {
	return newErrorLog(log)
}

// LocalOnly responds with 403 to clients on other hosts.
func LocalOnly(next http.Handler) http.Handler { return localOnly(next) }

// HoldTrials prevents trials until the function is called.
func (v *Validator) HoldTrials() (release func()) {
	f := v.lanes.newRequest(v.lanes.unknown)
	if f.holdIn(v.lanes.trials, 0) != nil || f.acquire(context.Background()) != nil {
		panic("no slot")
	}
	return f.leave
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
	MinIdleTime        = minIdleTime
	StallTimeout       = stallTimeout
	ExcessIdleTimeout  = excessIdleTimeout
	PeerResetBurst     = peerResetBurst
	PeerResetRate      = peerResetRate
	ReopenRate         = reopenRate
	MaxTrials          = maxTrials
)

// LimitConnections returns the listener of a server and makes the server use its limits.
func LimitConnections(server *http.Server, listener net.Listener, metrics *Metrics, log zerolog.Logger) net.Listener {
	return limitConnections(server, listener, webhookPort, metrics, log)
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
	return l.inSlot(ctx, l.small, client, requestCost, compute)
}

// Try calls a function in the slot of a trial that is charged for that many bytes.
func (l *Lanes) Try(ctx context.Context, client *Client, size int64, compute func()) error {
	return l.inSlot(ctx, l.trials, client, size, compute)
}

// inSlot calls a function in a slot of a lane. Afterwards the request holds its response, without a slot.
func (l *Lanes) inSlot(ctx context.Context, in *lane, client *Client, size int64, compute func()) error {
	f := l.newRequest(client)
	defer f.leave()
	if err := f.holdIn(in, size); err != nil {
		return err
	}
	if err := f.acquire(ctx); err != nil {
		return err
	}
	compute()
	f.release()
	return f.hold(size)
}

func (l *Lanes) newRequest(client *Client) *inflight {
	now := time.Now()
	return &inflight{
		lanes: l, control: *http.NewResponseController(nil), client: client, start: now, deadline: now.Add(time.Hour),
	}
}

// NewStatusHandler returns the handler of the status page and its API, as on the lifecycle port.
func NewStatusHandler(options StatusOptions, metrics *Metrics, pending func() []string) http.Handler {
	mux := http.NewServeMux()
	for pattern, handler := range newStatusReader(options, metrics, pending).handlers() {
		mux.Handle(pattern, handler)
	}
	return mux
}

// ResponseReview is an AdmissionReview with its response.
type ResponseReview = responseReview

// Status is the status of a denial.
type Status = status

// AppendTo appends the encoded review.
func (r *responseReview) AppendTo(buffer []byte) ([]byte, error) { return r.appendTo(buffer) }
