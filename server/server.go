package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	stdlog "log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
)

const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	// writeTimeout limits the sending of a response, and refuseTimeout that of a refusal after a request was cut
	// off.
	writeTimeout  = 5 * time.Second
	refuseTimeout = 100 * time.Millisecond
	idleTimeout   = 2 * time.Minute
	// maxHeaderBytes is far more than an API server sends.
	maxHeaderBytes = 8 << 10
	// maxStreams is how many requests a connection may have in flight. Clients open another connection for
	// more. Each request has a goroutine and a header before it enters a lane.
	maxStreams = 16
	// scrapeCost is the memory of a scrape of the metrics, or of a response of a local handler, in bytes.
	scrapeCost = 64 << 10
	// shutdownGrace is how long requests in flight may take to finish after the drain delay.
	shutdownGrace = 15 * time.Second
)

// Options configures a Server. Only LocalHandlers, Status and CertificateErr may be nil.
type Options struct {
	// TLS and Lifecycle are the listeners of the two ports. Run closes them.
	TLS, Lifecycle net.Listener
	// GetCertificate is called for each handshake.
	GetCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// CertificateErr returns why the certificate cannot be loaded, watched or renewed now.
	CertificateErr func() error
	// Handlers are the handlers of the TLS port besides /health, by ServeMux pattern.
	Handlers map[string]http.Handler
	// LocalHandlers are handlers of the lifecycle port for clients on this machine, by ServeMux pattern.
	LocalHandlers map[string]http.Handler
	// Status configures the status page and its API on the lifecycle port. Nil disables both.
	Status *StatusOptions
	// Lanes are also those of the handlers.
	Lanes    *Lanes
	Metrics  *Metrics
	Gatherer prometheus.Gatherer
	// Checks determine whether /readyz succeeds.
	Checks []Check
	// DrainDelay is how long reviews are served after readiness begins to fail, so that clients notice
	// before the port closes.
	DrainDelay time.Duration
	Log        zerolog.Logger
}

// Server runs the two ports.
type Server struct {
	options   Options
	draining  atomic.Bool
	webhook   *http.Server
	lifecycle *http.Server
	grace     time.Duration
	after     func(time.Duration) <-chan time.Time // time.After, except in tests
}

// New returns a server. Run starts it.
func New(options Options) *Server {
	s := &Server{options: options, grace: shutdownGrace, after: time.After}
	s.webhook = newHTTPServer(s.webhookHandler(), options.Log)
	s.webhook.TLSConfig = &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: options.GetCertificate,
		NextProtos:     []string{"h2", "http/1.1"},
	}
	s.lifecycle = newHTTPServer(s.lifecycleHandler(), options.Log)
	s.options.TLS = limitConnections(s.webhook, options.TLS, webhookPort, options.Metrics, options.Log)
	s.options.Lifecycle = limitConnections(s.lifecycle, options.Lifecycle, lifecyclePort, options.Metrics, options.Log)
	return s
}

func newHTTPServer(handler http.Handler, log zerolog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      maxTimeout + writeTimeout, // a review may wait for maxTimeout first
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          stdlog.New(newErrorLog(log), "", 0),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams,
			// Handlers read immediately, so few bytes need to be buffered.
			MaxReceiveBufferPerConnection: 128 << 10,
			MaxReceiveBufferPerStream:     64 << 10,
			MaxReadFrameSize:              16 << 10,
			WriteByteTimeout:              writeTimeout,
		},
	}
}

func (s *Server) webhookHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", serveHealth)
	for pattern, handler := range s.options.Handlers {
		mux.Handle(pattern, handler)
	}
	others := s.limited(0, mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.draining.Load() {
			// Moves a client to another replica before the port closes. HTTP/2 sends a GOAWAY after the
			// response.
			w.Header().Set("Connection", "close")
		}
		handler, pattern := mux.Handler(r)
		if _, isWebhook := s.options.Handlers[pattern]; !isWebhook {
			handler = others // webhooks enter a lane themselves
		}
		handler.ServeHTTP(w, r)
	})
}

func (s *Server) lifecycleHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", serveHealth)
	mux.HandleFunc("GET /healthz", serveHealth)
	mux.HandleFunc("GET /readyz", s.serveReady)
	mux.Handle("GET /metrics", s.limited(scrapeCost, s.metricsHandler()))
	for pattern, handler := range s.options.LocalHandlers {
		mux.Handle(pattern, s.limited(scrapeCost, localOnly(handler)))
	}
	if s.options.Status != nil {
		status := newStatusReader(*s.options.Status, s.options.Metrics, s.pending)
		for pattern, handler := range status.handlers() {
			mux.Handle(pattern, s.limited(statusCost, handler))
		}
	}
	return s.limited(0, mux)
}

// metricsHandler responds with the metrics.
func (s *Server) metricsHandler() http.Handler {
	metrics := promhttp.HandlerFor(s.options.Gatherer, promhttp.HandlerOpts{DisableCompression: true})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fails := s.options.CertificateErr != nil && s.options.CertificateErr() != nil
		s.options.Metrics.setState(len(s.pending()) == 0, fails)
		metrics.ServeHTTP(w, r)
	})
}

// limited runs a handler that reads no body within the small lane. cost is the memory of the handler, in bytes.
func (s *Server) limited(cost int64, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := s.options.Lanes.begin(w, r)
		defer f.leave()
		err := f.holdIn(s.options.Lanes.small, cost+f.base)
		if err == nil {
			err = f.write(func() error { next.ServeHTTP(w, r); return nil })
		}
		if errors.Is(err, errOverload) {
			s.options.Metrics.refused.WithLabelValues(string(refusedOverload)).Inc()
			http.Error(w, err.Error(), errOverload.code)
		}
	})
}

// Run serves until the context ends or a port fails. Then it drains: readiness fails immediately, reviews are
// served for the drain delay, requests in flight finish, and the lifecycle port closes last. It returns
// nil if every request was answered.
func (s *Server) Run(ctx context.Context) error {
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error {
		return ignoreClosed(s.webhook.ServeTLS(s.options.TLS, "", ""))
	})
	group.Go(func() error {
		return ignoreClosed(s.lifecycle.Serve(s.options.Lifecycle))
	})
	group.Go(func() error {
		<-running.Done()
		// If a port failed, there is no drain delay.
		return s.drain(ctx, ctx.Err() != nil)
	})
	return group.Wait()
}

// ignoreClosed returns nil for the error that Shutdown causes.
func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (s *Server) drain(ctx context.Context, orderly bool) error {
	s.draining.Store(true)
	if orderly {
		s.options.Log.Info().Dur("delay", s.options.DrainDelay).Dur("delay_ms", s.options.DrainDelay).
			Msg("shutting down: /readyz fails, and reviews are served until the delay is over")
		<-s.after(s.options.DrainDelay)
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.grace)
	defer cancel()
	err := s.webhook.Shutdown(grace)
	if err != nil {
		_ = s.webhook.Close()
		err = fmt.Errorf("requests were still in flight after %s: %w", s.grace, err)
	}
	if s.lifecycle.Shutdown(grace) != nil {
		// A scrape hangs, or the grace period is over. No review is lost.
		_ = s.lifecycle.Close()
	}
	return err
}
