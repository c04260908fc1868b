package server_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"k8s-sidecar-injector/server"
)

// No request is lost if clients leave when readiness fails.
func TestDrain(t *testing.T) {
	t.Parallel()
	delay := make(chan time.Time)
	l := start(t, nil, func(s *server.Server) { s.SetDrained(delay) })
	question := string(recorded(t, "v1-deployment-pod"))
	var (
		group            sync.WaitGroup
		stop             atomic.Bool
		answers, drained atomic.Int64
		draining         atomic.Bool
	)
	for n := range 8 {
		c := client(t, tlsConfig(l.certificate.Load()), n%2 == 0)
		group.Go(func() {
			for !stop.Load() {
				during := draining.Load()
				response, body, err := fetch(t.Context(), c, http.MethodPost,
					"https://"+l.webhook+"/mutate?timeout=10s", question)
				if err != nil || response.StatusCode != http.StatusOK ||
					!strings.Contains(body, `"patchType":"JSONPatch"`) {
					t.Errorf("a request was lost: %v %.200s", err, body)
					return
				}
				answers.Add(1)
				if during {
					drained.Add(1)
				}
			}
		})
	}
	eventually(t, "load", func() bool { return answers.Load() > 50 })
	l.cancel()
	eventually(t, "readiness to fail", func() bool {
		response, body := mustFetch(t, http.DefaultClient, http.MethodGet, l.lifecycle+"/readyz", "")
		return response.StatusCode == http.StatusServiceUnavailable && body == "not ready:\nshutting down\n"
	})
	draining.Store(true)
	if response, _ := mustFetch(t, http.DefaultClient, http.MethodGet, l.lifecycle+"/healthz",
		""); response.StatusCode != http.StatusOK {
		t.Errorf("/healthz fails while draining: %d", response.StatusCode)
	}
	wantMetric(t, l, "sidecar_injector_ready 0")
	eventually(t, "reviews that are served while draining", func() bool { return drained.Load() > 20 })
	stop.Store(true)
	group.Wait()
	close(delay)
	if err := l.wait(t); err != nil {
		t.Errorf("Run: %v", err)
	}
	if _, _, err := fetch(t.Context(), http.DefaultClient, http.MethodGet, l.lifecycle+"/healthz", ""); err == nil {
		t.Error("the lifecycle port is still open")
	}
}

// A response during the drain delay closes its connection, so that the client connects to another replica.
func TestDrainClosesConnections(t *testing.T) {
	t.Parallel()
	delay := make(chan time.Time)
	l := start(t, nil, func(s *server.Server) { s.SetDrained(delay) })
	defer close(delay)
	c := client(t, tlsConfig(l.certificate.Load()), false)
	if response, _ := mustFetch(t, c, http.MethodGet, "https://"+l.webhook+"/health", ""); response.Close {
		t.Error("the connection is closed before the drain")
	}
	l.cancel()
	eventually(t, "an answer that closes the connection", func() bool {
		response, _ := mustFetch(t, c, http.MethodGet, "https://"+l.webhook+"/health", "")
		return response.Close
	})
}

// gate is a handler that waits for the test.
type gate struct {
	entered, open chan struct{}
}

func newGate() *gate {
	return &gate{entered: make(chan struct{}), open: make(chan struct{})}
}

func (g *gate) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	close(g.entered)
	<-g.open
	_, _ = io.WriteString(w, "late")
}

// pending starts a request that waits at the gate. The channel receives its result.
func pending(t *testing.T, l *live, g *gate, http2 bool) <-chan error {
	t.Helper()
	c := client(t, tlsConfig(l.certificate.Load()), http2)
	result := make(chan error, 1)
	go func() {
		_, body, err := fetch(t.Context(), c, http.MethodGet, "https://"+l.webhook+"/slow", "")
		if err == nil && body != "late" {
			err = errors.New("unexpected answer " + body)
		}
		result <- err
	}()
	<-g.entered
	return result
}

// Requests in flight after the drain delay finish.
func TestDrainFinishesInFlight(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		g := newGate()
		l := start(t, func(o *server.Options) { o.Handlers["GET /slow"] = g }, nil)
		result := pending(t, l, g, http2)
		l.cancel()
		eventually(t, "the webhook port to close", func() bool {
			_, _, err := fetch(t.Context(), client(t, tlsConfig(l.certificate.Load()), false), http.MethodGet,
				"https://"+l.webhook+"/health", "")
			return err != nil
		})
		// The lifecycle port closes last.
		if response, _ := mustFetch(t, http.DefaultClient, http.MethodGet, l.lifecycle+"/readyz",
			""); response.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("/readyz: got %d", response.StatusCode)
		}
		close(g.open)
		if err := <-result; err != nil {
			t.Errorf("http2 %t: the request in flight was lost: %v", http2, err)
		}
		if err := l.wait(t); err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

// If a request never ends, Run returns an error after the grace period and closes both ports.
func TestDrainGivesUp(t *testing.T) {
	t.Parallel()
	g := newGate()
	l := start(t, func(o *server.Options) { o.Handlers["GET /slow"] = g },
		func(s *server.Server) { s.SetTimeouts(time.Second, time.Second, 50*time.Millisecond) })
	result := pending(t, l, g, false)
	l.cancel()
	err := l.wait(t)
	if err == nil || err.Error() != "requests were still in flight after 50ms: context deadline exceeded" {
		t.Errorf("Run: got %v", err)
	}
	if err := <-result; err == nil || os.IsTimeout(err) {
		t.Errorf("want a connection that is closed, got %v", err)
	}
	if _, _, err := fetch(t.Context(), http.DefaultClient, http.MethodGet, l.lifecycle+"/healthz", ""); err == nil {
		t.Error("the lifecycle port is still open")
	}
	close(g.open)
}

// If a port fails, Run returns its error without a drain delay.
func TestPortFails(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*server.Options) error{
		"tls":       func(o *server.Options) error { return o.TLS.Close() },
		"lifecycle": func(o *server.Options) error { return o.Lifecycle.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var options *server.Options
			l := start(t, func(o *server.Options) { o.DrainDelay, options = time.Hour, o }, nil)
			eventually(t, "start", func() bool {
				_, _, err := fetch(t.Context(), http.DefaultClient, http.MethodGet, l.lifecycle+"/healthz", "")
				return err == nil
			})
			if err := fail(options); err != nil {
				t.Fatal(err)
			}
			if err := l.wait(t); err == nil || !strings.Contains(err.Error(), "use of closed network connection") {
				t.Errorf("Run: got %v", err)
			}
		})
	}
}

// Run drains even if its context has already ended.
func TestRunAfterTheEnd(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := server.New(server.Options{
		TLS: listen(t), Lifecycle: listen(t), Gatherer: prometheus.NewRegistry(), Log: zerolog.Nop(),
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, io.EOF },
	})
	if err := s.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
}
