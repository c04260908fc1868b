package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	stdlog "log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
)

// What a client may take, and what it may hold.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	// writeTimeout is how long a response may take, and refuseTimeout that of a request that was cut off.
	writeTimeout  = 5 * time.Second
	refuseTimeout = 100 * time.Millisecond
	idleTimeout   = 2 * time.Minute
	// maxHeaderBytes is many times the header of an API server.
	maxHeaderBytes = 8 << 10
	// maxStreams is how many requests a connection may have in flight. Clients open another connection for
	// more, and each of these requests has a goroutine and a header before any budget is asked.
	maxStreams = 16
	// scrapeCost is what the metrics take in a scrape.
	scrapeCost = 64 << 10
	// shutdownGrace is how long requests in flight may take to finish after the drain delay.
	shutdownGrace = 15 * time.Second
)

// Options is what a Server is made of. Nothing may be nil.
type Options struct {
	// TLS and Lifecycle are the open ports. Run closes them.
	TLS, Lifecycle net.Listener
	// GetCertificate is asked at each handshake.
	GetCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Handlers are what the TLS port serves beside /health, by ServeMux pattern.
	Handlers map[string]http.Handler
	// Lanes are those of the handlers.
	Lanes    *Lanes
	Metrics  *Metrics
	Gatherer prometheus.Gatherer
	// Checks decide on /readyz.
	Checks []Check
	// DrainDelay is how long reviews are served on after readiness has begun to fail, so
	// that clients learn of it before the port closes.
	DrainDelay time.Duration
	Log        zerolog.Logger
}

// Server runs the two ports.
type Server struct {
	options   Options
	readiness readiness
	webhook   *http.Server
	lifecycle *http.Server
	grace     time.Duration
}

// New makes a server; Run starts it.
func New(options Options) *Server {
	s := &Server{options: options, grace: shutdownGrace}
	s.readiness.checks = options.Checks
	s.webhook = newHTTPServer(s.webhookHandler(), options.Log)
	s.webhook.TLSConfig = &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: options.GetCertificate,
		NextProtos:     []string{"h2", "http/1.1"},
	}
	s.lifecycle = newHTTPServer(s.lifecycleHandler(), options.Log)
	s.options.TLS = limited(s.webhook, options.TLS, webhookPort, &options)
	s.options.Lifecycle = limited(s.lifecycle, options.Lifecycle, lifecyclePort, &options)
	return s
}

// limited limits the connections of a server, and returns the listener to serve.
func limited(server *http.Server, listener net.Listener, port string, options *Options) net.Listener {
	connections := newConnections(listener, port, options.Metrics, options.Log)
	connections.limit(server)
	return connections
}

func newHTTPServer(handler http.Handler, log zerolog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      maxTimeout + writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          stdlog.New(newErrorLog(log), "", 0),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams,
			// What a connection may send before a handler reads it. Handlers read at once.
			MaxReceiveBufferPerConnection: 128 << 10,
			MaxReceiveBufferPerStream:     64 << 10,
			MaxReadFrameSize:              16 << 10,
			WriteByteTimeout:              writeTimeout,
		},
	}
}

func (s *Server) webhookHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", healthy)
	for pattern, handler := range s.options.Handlers {
		mux.Handle(pattern, handler)
	}
	others := s.options.Lanes.bounded(0, mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.readiness.draining.Load() {
			// Moves a client that keeps its connection to another replica before this one
			// closes it: with HTTP/2 this becomes a GOAWAY after the answer.
			w.Header().Set("Connection", "close")
		}
		handler, pattern := mux.Handler(r)
		if _, ours := s.options.Handlers[pattern]; !ours {
			handler = others // the webhooks charge their requests themselves
		}
		handler.ServeHTTP(w, r)
	})
}

func (s *Server) lifecycleHandler() http.Handler {
	bounded := s.options.Lanes.bounded
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", healthy)
	mux.HandleFunc("GET /healthz", healthy)
	mux.Handle("GET /readyz", &s.readiness)
	mux.Handle("GET /metrics", bounded(scrapeCost, promhttp.HandlerFor(s.options.Gatherer, promhttp.HandlerOpts{DisableCompression: true})))
	return bounded(0, mux)
}

// Run serves until the context ends or a port fails, and drains: readiness fails at once,
// reviews are served for the drain delay, those in flight then finish, and the lifecycle port
// closes last. It returns nil after a drain in which every request was answered.
func (s *Server) Run(ctx context.Context) error {
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error {
		return ended(s.webhook.ServeTLS(s.options.TLS, "", ""))
	})
	group.Go(func() error {
		return ended(s.lifecycle.Serve(s.options.Lifecycle))
	})
	group.Go(func() error {
		<-running.Done()
		// A port that failed is no reason to wait for clients.
		return s.drain(ctx, ctx.Err() != nil)
	})
	return group.Wait()
}

// ended drops the error that says no more than that Shutdown was called.
func ended(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (s *Server) drain(ctx context.Context, orderly bool) error {
	s.readiness.draining.Store(true)
	if orderly {
		s.options.Log.Info().Dur("delay", s.options.DrainDelay).Msg("shutting down: /readyz fails from now on, reviews are served until the delay is over")
		<-time.After(s.options.DrainDelay)
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.grace)
	defer cancel()
	err := s.webhook.Shutdown(grace)
	if err != nil {
		_ = s.webhook.Close()
		err = fmt.Errorf("requests were still in flight after %s: %w", s.grace, err)
	}
	if s.lifecycle.Shutdown(grace) != nil {
		// A scrape that hangs, or no grace left: nothing is lost with it.
		_ = s.lifecycle.Close()
	}
	return err
}

// errorLog logs the lines that net/http writes about connections and handlers, at a limited rate.
type errorLog struct {
	panics, others *throttle // separate, so that others do not suppress panics
}

func newErrorLog(log zerolog.Logger) errorLog {
	return errorLog{panics: newThrottle(log), others: newThrottle(log)}
}

func (e errorLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	log := func(level zerolog.Level, message string) {
		e.others.event(level).Str("error", text).Msg(message)
	}
	switch {
	case strings.Contains(text, "panic serving"):
		e.panics.event(zerolog.ErrorLevel).Str("error", text).Msg("a request was lost to a bug: please report it")
	case strings.Contains(text, "TLS handshake error") && distrusted(text):
		log(zerolog.WarnLevel, "a client does not trust our certificate: if it is the API server, does the webhook configuration's caBundle belong to it?")
	case strings.Contains(text, "TLS handshake error") && !brokenOff(text):
		log(zerolog.WarnLevel, "TLS handshake failed")
	case strings.Contains(text, "Accept error"):
		log(zerolog.WarnLevel, "no connection can be accepted: is the limit of open files reached?")
	default:
		log(zerolog.DebugLevel, "connection failed")
	}
	return len(line), nil
}

// distrusted tells the handshakes that the client ended because of our certificate. An alert
// that it sends too early to be decrypted is a bad record MAC to us.
func distrusted(text string) bool {
	return strings.Contains(text, "remote error: tls: unknown certificate") || strings.Contains(text, "remote error: tls: bad certificate") ||
		strings.Contains(text, "bad record MAC")
}

// brokenOff tells the handshakes of port scans and TCP probes, which are no event for an
// operator.
func brokenOff(text string) bool {
	return strings.HasSuffix(text, "EOF") || strings.Contains(text, "connection reset by peer") ||
		strings.Contains(text, "i/o timeout")
}
