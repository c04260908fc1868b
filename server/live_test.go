package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"k8s-sidecar-injector/server"
)

// live is a running server.
type live struct {
	*injector
	certificate atomic.Pointer[tls.Certificate]
	waiting     atomic.Pointer[[]string]
	webhook     string // host:port
	lifecycle   string // URL
	cancel      context.CancelFunc
	ended       chan error
}

// start runs a server until the end of the test.
func start(t *testing.T, configure func(*server.Options), prepare func(*server.Server)) *live {
	t.Helper()
	l := &live{injector: newInjectorAt(t, policy(), zerolog.DebugLevel), ended: make(chan error, 1)}
	l.certificate.Store(selfSigned(t, "first"))
	l.waiting.Store(&[]string{})
	options := server.Options{
		TLS: listen(t), Lifecycle: listen(t),
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return l.certificate.Load(), nil },
		Handlers:       map[string]http.Handler{"POST /mutate": l.Webhook},
		Lanes:          l.lanes,
		Metrics:        l.metrics,
		Gatherer:       l.registry,
		Checks:         []server.Check{func() []string { return *l.waiting.Load() }},
		Log:            zerolog.New(l.log),
	}
	if configure != nil {
		configure(&options)
	}
	l.webhook, l.lifecycle = options.TLS.Addr().String(), "http://"+options.Lifecycle.Addr().String()
	s := server.New(options)
	if prepare != nil {
		prepare(s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	l.cancel = cancel
	go func() { l.ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := l.wait(t); err != nil {
			t.Log("Run:", err) // the tests of Run assert it
		}
	})
	return l
}

// wait returns the result of Run.
func (l *live) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-l.ended:
		l.ended <- err
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("Run does not end")
		return nil
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// selfSigned returns a key pair for 127.0.0.1 with a common name.
func selfSigned(t *testing.T, name string) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// tlsConfig returns a configuration that trusts the certificates.
func tlsConfig(trusted ...*tls.Certificate) *tls.Config {
	pool := x509.NewCertPool()
	for _, certificate := range trusted {
		pool.AddCert(certificate.Leaf)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// client returns a client that keeps its connections and uses HTTP/2 or HTTP/1.1.
func client(t *testing.T, config *tls.Config, http2 bool) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: http2}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

// fetch sends one request and reads the response.
func fetch(ctx context.Context, c *http.Client, method, url, body string) (*http.Response, string, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := c.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return response, string(text), err
}

func mustFetch(t *testing.T, c *http.Client, method, url, body string) (*http.Response, string) {
	t.Helper()
	response, text, err := fetch(t.Context(), c, method, url, body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return response, text
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(15 * time.Second)
	for !condition() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("timeout: %s", what)
		}
	}
}

func TestTLSVersions(t *testing.T) {
	t.Parallel()
	l := start(t, nil, nil)
	for version, fits := range map[uint16]bool{
		tls.VersionTLS10: false, tls.VersionTLS11: false,
		tls.VersionTLS12: true, tls.VersionTLS13: true,
	} {
		config := tlsConfig(l.certificate.Load())
		config.MinVersion, config.MaxVersion = version, version
		dialer := tls.Dialer{Config: config}
		connection, err := dialer.DialContext(t.Context(), "tcp", l.webhook)
		if (err == nil) != fits {
			t.Errorf("%s: got %v", tls.VersionName(version), err)
		}
		if err == nil {
			_ = connection.Close()
		}
	}
}

func TestProtocols(t *testing.T) {
	t.Parallel()
	l := start(t, nil, nil)
	for proto, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		c := client(t, tlsConfig(l.certificate.Load()), http2)
		response, body := mustFetch(t, c, http.MethodPost, "https://"+l.webhook+"/mutate?timeout=10s",
			string(recorded(t, "v1-deployment-pod")))
		if response.Proto != proto {
			t.Errorf("want %s, got %s", proto, response.Proto)
		}
		if a := decodeResponse(t, []byte(body)); response.StatusCode != http.StatusOK || len(a.Response.Patch) == 0 {
			t.Errorf("%s: got %d %s", proto, response.StatusCode, body)
		}
	}
}

// Open connections continue, and new handshakes use the new pair.
func TestCertificateSwap(t *testing.T) {
	t.Parallel()
	l := start(t, nil, nil)
	first, second := l.certificate.Load(), selfSigned(t, "second")
	for _, http2 := range []bool{false, true} {
		l.certificate.Store(first)
		config := tlsConfig(first, second)
		open := client(t, config, http2)
		check := func(c *http.Client, want string) {
			t.Helper()
			response, body := mustFetch(t, c, http.MethodPost, "https://"+l.webhook+"/mutate", podReview("{}"))
			decodeResponse(t, []byte(body))
			if got := response.TLS.PeerCertificates[0].Subject.CommonName; got != want {
				t.Errorf("http2 %t: want the %s certificate, got the %s", http2, want, got)
			}
		}
		check(open, "first")
		l.certificate.Store(second)
		check(client(t, config, http2), "second")
		check(open, "first")
		// A client that trusts only the old certificate fails at its next handshake.
		_, _, err := fetch(t.Context(), client(t, tlsConfig(first), http2), http.MethodGet,
			"https://"+l.webhook+"/health", "")
		if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); !unknown {
			t.Errorf("want an unknown authority, got %v", err)
		}
	}
	eventually(t, "a warning about the handshake", func() bool {
		return strings.Contains(l.log.String(), `{"level":"warn","error":"http: TLS handshake error from`) &&
			strings.Contains(l.log.String(), `TLS handshake failed: `)
	})
}

func TestPaths(t *testing.T) {
	t.Parallel()
	l := start(t, nil, nil)
	c := client(t, tlsConfig(l.certificate.Load()), true)
	webhook := "https://" + l.webhook
	for _, p := range []struct {
		method, url, allow, body string
		code                     int
	}{
		{method: "GET", url: webhook + "/health", code: 200, body: "ok\n"},
		{method: "POST", url: webhook + "/health", code: 405, allow: "GET, HEAD", body: "Method Not Allowed\n"},
		{method: "GET", url: webhook + "/mutate", code: 405, allow: "POST", body: "Method Not Allowed\n"},
		{method: "PUT", url: webhook + "/mutate", code: 405, allow: "POST", body: "Method Not Allowed\n"},
		{
			method: "POST", url: webhook + "/mutate", code: 400,
			body: "the body is not an AdmissionReview of a pod: unexpected EOF\n",
		},
		{method: "POST", url: webhook + "/mutate/", code: 404, body: "404 page not found\n"},
		{method: "GET", url: webhook + "/", code: 404, body: "404 page not found\n"},
		{method: "GET", url: webhook + "/metrics", code: 404, body: "404 page not found\n"},
		{method: "GET", url: l.lifecycle + "/health", code: 200, body: "ok\n"},
		{method: "GET", url: l.lifecycle + "/healthz", code: 200, body: "ok\n"},
		{method: "GET", url: l.lifecycle + "/readyz", code: 200, body: "ok\n"},
		{method: "POST", url: l.lifecycle + "/readyz", code: 405, allow: "GET, HEAD", body: "Method Not Allowed\n"},
		{method: "POST", url: l.lifecycle + "/mutate", code: 404, body: "404 page not found\n"},
	} {
		response, body := mustFetch(t, c, p.method, p.url, "")
		if response.StatusCode != p.code || body != p.body || response.Header.Get("Allow") != p.allow ||
			response.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s %s: got %d %q %v", p.method, p.url, response.StatusCode, body, response.Header)
		}
	}
	response, body := mustFetch(t, c, http.MethodGet, l.lifecycle+"/metrics", "")
	if response.StatusCode != http.StatusOK || !strings.Contains(body, "\nsidecar_injector_snapshot_generation 1\n") {
		t.Errorf("/metrics: got %d %.300s", response.StatusCode, body)
	}
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	l := start(t, func(o *server.Options) {
		o.Checks = append(o.Checks, func() []string { return nil }, func() []string { return nil })
	}, nil)
	for _, c := range []struct {
		waiting []string
		code    int
		body    string
	}{
		{
			[]string{"no key pair is loaded", "no snapshot is published"},
			503,
			"not ready:\nno key pair is loaded\nno snapshot is published\n",
		},
		{[]string{"no snapshot is published"}, 503, "not ready:\nno snapshot is published\n"},
		{nil, 200, "ok\n"},
	} {
		l.waiting.Store(&c.waiting)
		response, body := mustFetch(t, http.DefaultClient, http.MethodGet, l.lifecycle+"/readyz", "")
		if diff := cmp.Diff(c.body, body); response.StatusCode != c.code || diff != "" {
			t.Errorf("got %d\n%s", response.StatusCode, diff)
		}
		want := "sidecar_injector_ready 0"
		if c.code == http.StatusOK {
			want = "sidecar_injector_ready 1"
		}
		wantMetric(t, l, want)
	}
}

func wantMetric(t *testing.T, l *live, line string) {
	t.Helper()
	_, metrics := mustFetch(t, http.DefaultClient, http.MethodGet, l.lifecycle+"/metrics", "")
	if !strings.Contains(metrics, "\n"+line+"\n") {
		t.Errorf("no line %s in\n%s", line, metrics)
	}
}

func TestCertificateFailing(t *testing.T) {
	t.Parallel()
	var failure atomic.Pointer[error]
	failure.Store(new(io.EOF))
	l := start(t, func(o *server.Options) { o.CertificateErr = func() error { return *failure.Load() } }, nil)
	wantMetric(t, l, "sidecar_injector_certificate_failing 1")
	failure.Store(new(error))
	wantMetric(t, l, "sidecar_injector_certificate_failing 0")
}

// A body that takes longer than the timeout of the API server is refused.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	l := start(t, nil, nil)
	for _, http2 := range []bool{false, true} {
		reader, writer := io.Pipe()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
			"https://"+l.webhook+"/mutate?timeout=100ms", reader)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		go func() { _, _ = io.WriteString(writer, `{"kind":`) }()
		response, err := client(t, tlsConfig(l.certificate.Load()), http2).Do(r)
		if err != nil {
			t.Fatalf("http2 %t: %v", http2, err)
		}
		body, err := io.ReadAll(response.Body)
		if response.StatusCode != http.StatusRequestTimeout ||
			string(body) != "the body did not arrive in time\n" || err != nil {
			t.Errorf("http2 %t: got %d %q %v", http2, response.StatusCode, body, err)
		}
		_, _ = writer.Close(), response.Body.Close()
	}
	eventually(t, "both refusals in the metric", func() bool { return l.refusals(t, "deadline") == 2 })
}

// A client that sends its header slowly, or sends nothing, is disconnected.
func TestSlowHeader(t *testing.T) {
	t.Parallel()
	const timeout = time.Second
	l := start(t, nil, func(s *server.Server) { s.SetTimeouts(timeout, timeout, time.Second) })
	for _, sent := range []string{"", "POST /mutate HTTP/1.1\r\nHost: x\r\nX-Slow: "} {
		dialer := tls.Dialer{Config: tlsConfig(l.certificate.Load())}
		connection, err := dialer.DialContext(t.Context(), "tcp", l.webhook)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(connection, sent); err != nil {
			t.Fatal(err)
		}
		_ = connection.SetReadDeadline(time.Now().Add(10 * time.Second))
		// Any other error means that the server closed the connection.
		if _, err := io.Copy(io.Discard, connection); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after %q the connection stays open", sent)
		}
		_ = connection.Close()
	}
}

// The handshake has a timeout. Probes of the port are logged at debug.
func TestSilentProbes(t *testing.T) {
	t.Parallel()
	const timeout = time.Second
	l := start(t, nil, func(s *server.Server) { s.SetTimeouts(timeout, timeout, time.Second) })
	for _, leave := range []bool{true, false} {
		connection, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.webhook)
		if err != nil {
			t.Fatal(err)
		}
		if leave {
			_ = connection.Close()
			continue
		}
		_ = connection.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.Copy(io.Discard, connection); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("the connection stays open")
		}
		_ = connection.Close()
	}
	eventually(t, "both handshakes in the log", func() bool {
		return strings.Count(l.log.String(), "TLS handshake error") == 2
	})
	for _, event := range l.log.events(t) {
		if event["level"] != "debug" {
			t.Errorf("want nothing above debug, got %v", event)
		}
	}
}
