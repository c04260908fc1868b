package server_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/server"
)

// logLine sends one review and returns its log line without the duration.
func logLine(t *testing.T, p *mutate.Policy, level zerolog.Level, body string) map[string]any {
	t.Helper()
	i := newInjectorAt(t, p, level)
	review(t, i, body)
	events := i.log.events(t)
	if len(events) != 1 {
		t.Fatalf("want one line, got %v", events)
	}
	if duration, ok := events[0]["duration"].(float64); !ok || duration <= 0 {
		t.Errorf("want a duration, got %v", events[0]["duration"])
	}
	if events[0]["duration_ms"] != events[0]["duration"] {
		t.Errorf("duration_ms is %v, duration %v", events[0]["duration_ms"], events[0]["duration"])
	}
	delete(events[0], "duration")
	delete(events[0], "duration_ms")
	return events[0]
}

func TestReviewLog(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, body string
		level      zerolog.Level
		want       map[string]any
	}{
		{"injected", string(recorded(t, "v1-deployment-pod")), zerolog.InfoLevel, map[string]any{
			"level": "info", "message": "review", "uid": "0c972378-6211-4715-b89a-d5642d92bfa9", "namespace": "default",
			"name": "web-77bf58f877-*", "owner": "ReplicaSet/web-77bf58f877", "request": "logger:v1",
			"requested_by": "pod", "outcome": "injected",
			"reason": "injected", "sidecars": []any{"logger:v1"}, "generation": 1.0,
		}},
		{"denied", podReview(podRequesting("clash:v1", "app")), zerolog.InfoLevel, map[string]any{
			"level": "warn", "message": "review", "uid": "u1", "namespace": "team", "name": "p", "owner": "",
			"request": "clash:v1", "requested_by": "pod",
			"outcome": "denied", "reason": "conflict", "sidecars": []any{}, "generation": 1.0,
			"detail": message(t, policy(), podReview(podRequesting("clash:v1", "app"))),
		}},
		{"skipped", podReview(podRequesting("none", "app")), zerolog.DebugLevel, map[string]any{
			"level": "debug", "message": "review", "uid": "u1", "namespace": "team", "name": "p", "owner": "",
			"request": "none", "requested_by": "pod",
			"outcome": "skipped", "reason": "opted_out", "sidecars": []any{}, "generation": 1.0,
		}},
		{
			"admitted without its sidecar", podReview(podRequesting("missing:v3", "app")), zerolog.InfoLevel,
			map[string]any{
				"level": "warn", "message": "review", "uid": "u1", "namespace": "team", "name": "p", "owner": "",
				"request": "missing:v3", "requested_by": "pod",
				"outcome": "skipped", "reason": "unknown_sidecar", "sidecars": []any{}, "generation": 1.0,
				"detail": message(t, policy(), podReview(podRequesting("missing:v3", "app"))),
			},
		},
		{"bad", podReview(`{"spec":"text"}`), zerolog.InfoLevel, map[string]any{
			"level": "warn", "message": "review", "uid": "u1", "namespace": "team", "name": "", "owner": "",
			"request": "", "requested_by": "",
			"outcome": "denied", "reason": "bad_review", "sidecars": []any{}, "generation": 1.0,
			"detail": `the body is not an AdmissionReview of a pod: "/request/object/spec": unexpected string`,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, logLine(t, policy(), c.level, c.body)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The log has no variables of the pod or of the sidecar, even at the lowest level.
func TestNoEnvInLog(t *testing.T) {
	t.Parallel()
	i := newInjectorAt(t, policy(), zerolog.TraceLevel)
	for _, object := range []string{
		`{"metadata":{"annotations":{"injector.tumblr.com/request":"logger:v1"}},"spec":{"containers":[{"name":"a",` +
			`"env":[{"name":"A","value":"s3cr3t-of-pod"}]}]}}`,
		`{"spec":{"containers":[{"name":"a","env":"s3cr3t-of-pod"}]}}`,
		`{"spec":{"containers":[{"name":"a","env":[{"name":"A","value":"s3cr3t-of-pod","value":"s3cr3t-of-pod"}]}]}}`,
		`{"spec":{"containers":[{"name":"a","env":["s3cr3t-of-pod"]}]}}`,
	} {
		review(t, i, podReview(object))
	}
	if log := i.log.String(); strings.Contains(log, "s3cr3t") || strings.Count(log, "\n") != 4 {
		t.Errorf("unexpected log:\n%s", log)
	}
}

// Long fields are truncated.
func TestLongFieldsInLog(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("€", 100<<10)
	body := `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"` + long +
		`","namespace":"` + long + `",` +
		`"resource":{"group":"","version":"v1","resource":"pods"},"operation":"CREATE",` +
		`"object":{"metadata":{"generateName":"` + long + `",` +
		`"ownerReferences":[{"kind":"` + long +
		`","name":"x","controller":true}],"annotations":{"injector.tumblr.com/request":"` + long + `"}}}}}`
	event := logLine(t, policy(), zerolog.DebugLevel, body)
	// 253 bytes are 84 euro signs and a third of one.
	clipped := strings.Repeat("€", 84) + "..."
	for _, field := range []string{"uid", "namespace", "name", "owner", "request"} {
		if event[field] != clipped {
			t.Errorf("%s: got %v", field, event[field])
		}
	}
	if event["reason"] != "bad_request_annotation" {
		t.Errorf("got %v", event)
	}
}

// failing is the ResponseWriter of a client that has disconnected.
type failing struct{ discard }

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// A response that cannot be sent is logged.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	i := newInjector(t, policy())
	i.ServeHTTP(&failing{discard{header: make(http.Header)}}, newRequest(t, strings.NewReader(podReview("{}"))))
	want := []map[string]any{{
		"level": "warn", "error": "io: read/write on closed pipe", "uid": "u1", "remote": "192.0.2.1:1234",
		"message": "cannot send the response",
	}}
	if diff := cmp.Diff(want, i.log.events(t)); diff != "" {
		t.Error(diff)
	}
}

func TestErrorLog(t *testing.T) {
	t.Parallel()
	const (
		prefix   = "http: TLS handshake error from 127.0.0.1:1: "
		bug      = "request handler panicked"
		distrust = "TLS handshake failed: the client does not trust the certificate; if it is an API server, " +
			"check the caBundle of the webhook configuration"
		undecoded = "TLS handshake failed: cannot decrypt a message of the client, which may be an alert that it " +
			"does not trust the certificate"
		handshake  = "TLS handshake failed"
		connection = "connection failed"
		files      = "cannot accept connections; check the limit of open files"
	)
	for line, want := range map[string][2]string{
		"http: panic serving 127.0.0.1:1: boom\ngoroutine 1 [running]:": {"error", bug},
		"http2: panic serving 127.0.0.1:1: boom":                        {"error", bug},
		prefix + "remote error: tls: unknown certificate authority":     {"warn", distrust},
		prefix + "remote error: tls: bad certificate":                   {"warn", distrust},
		prefix + "local error: tls: bad record MAC":                     {"warn", undecoded},
		prefix + "client sent an HTTP request to an HTTPS server":       {"warn", handshake},
		prefix + "EOF": {"debug", connection},
		prefix + "read tcp 127.0.0.1:2->127.0.0.1:1: read: connection reset by peer": {"debug", connection},
		prefix + "read tcp 127.0.0.1:2->127.0.0.1:1: i/o timeout":                    {"debug", connection},
		"http: Accept error: accept tcp [::]:9443: accept4: too many open files":     {"warn", files},
		"http2: server: error reading preface from client 127.0.0.1:1: bogus":        {"debug", connection},
	} {
		log := new(lines)
		n, err := server.NewErrorLog(zerolog.New(log)).Write([]byte(line + "\n"))
		if n != len(line)+1 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		events := []map[string]any{{"level": want[0], "error": line, "message": want[1]}}
		if diff := cmp.Diff(events, log.events(t)); diff != "" {
			t.Error(diff)
		}
	}
}

// A panic of a handler ends one request and is logged with its stack.
func TestPanic(t *testing.T) {
	t.Parallel()
	l := start(t, func(o *server.Options) {
		o.Handlers["GET /panic"] = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") })
	}, nil)
	for _, http2 := range []bool{false, true} {
		c := client(t, tlsConfig(l.certificate.Load()), http2)
		if _, _, err := fetch(t.Context(), c, http.MethodGet, "https://"+l.webhook+"/panic", ""); err == nil {
			t.Errorf("http2 %t: want no answer", http2)
		}
		if response, _ := mustFetch(t, c, http.MethodGet, "https://"+l.webhook+"/health",
			""); response.StatusCode != http.StatusOK {
			t.Errorf("http2 %t: got %d", http2, response.StatusCode)
		}
	}
	eventually(t, "both panics in the log", func() bool {
		return strings.Count(l.log.String(), "boom") >= 2
	})
	for _, event := range l.log.events(t) {
		if text, _ := event["error"].(string); strings.Contains(text, "boom") && (event["level"] != "error" ||
			!strings.Contains(text, "goroutine ")) {
			t.Errorf("unexpected event %v", event)
		}
	}
}
