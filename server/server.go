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
	writeTimeout      = 30 * time.Second // no shorter than maxTimeout
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
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
	return s
}

func newHTTPServer(handler http.Handler, log zerolog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          stdlog.New(errorLog{log}, "", 0),
	}
}

func (s *Server) webhookHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", healthy)
	for pattern, handler := range s.options.Handlers {
		mux.Handle(pattern, handler)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.readiness.draining.Load() {
			// Moves a client that keeps its connection to another replica before this one
			// closes it: with HTTP/2 this becomes a GOAWAY after the answer.
			w.Header().Set("Connection", "close")
		}
		mux.ServeHTTP(w, r)
	})
}

func (s *Server) lifecycleHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", healthy)
	mux.HandleFunc("GET /healthz", healthy)
	mux.Handle("GET /readyz", &s.readiness)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.options.Gatherer, promhttp.HandlerOpts{}))
	return mux
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

// errorLog takes the lines that net/http writes about connections and handlers.
type errorLog struct {
	log zerolog.Logger
}

func (e errorLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	switch {
	case strings.Contains(text, "panic serving"):
		e.log.Error().Str("error", text).Msg("a request was lost to a bug: please report it")
	case strings.Contains(text, "TLS handshake error") && distrusted(text):
		e.log.Warn().Str("error", text).Msg("a client does not trust our certificate: if it is the API server, does the webhook configuration's caBundle belong to it?")
	case strings.Contains(text, "TLS handshake error") && !brokenOff(text):
		e.log.Warn().Str("error", text).Msg("TLS handshake failed")
	case strings.Contains(text, "Accept error"):
		e.log.Warn().Str("error", text).Msg("no connection can be accepted: is the limit of open files reached?")
	default:
		e.log.Debug().Str("error", text).Msg("connection failed")
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
