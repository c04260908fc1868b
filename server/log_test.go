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

// logged sends one review and gives the one line that it left, without the duration.
func logged(t *testing.T, p *mutate.Policy, level zerolog.Level, body string) map[string]any {
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
	delete(events[0], "duration")
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
			"name": "web-77bf58f877-*", "owner": "ReplicaSet/web-77bf58f877", "request": "logger:v1", "requested_by": "pod", "outcome": "injected",
			"reason": "injected", "sidecars": []any{"logger:v1"}, "generation": 1.0,
		}},
		{"denied", create(asking("clash:v1", "app")), zerolog.InfoLevel, map[string]any{
			"level": "info", "message": "review", "uid": "u1", "namespace": "team", "name": "p", "owner": "", "request": "clash:v1", "requested_by": "pod",
			"outcome": "denied", "reason": "conflict", "sidecars": []any{}, "generation": 1.0,
			"detail": message(t, policy(), create(asking("clash:v1", "app"))),
		}},
		{"skipped", create(asking("none", "app")), zerolog.DebugLevel, map[string]any{
			"level": "debug", "message": "review", "uid": "u1", "namespace": "team", "name": "p", "owner": "", "request": "none", "requested_by": "pod",
			"outcome": "skipped", "reason": "opted_out", "sidecars": []any{}, "generation": 1.0,
		}},
		{"admitted without what it asked for", create(asking("nobody:v3", "app")), zerolog.InfoLevel, map[string]any{
			"level": "warn", "message": "review", "uid": "u1", "namespace": "team", "name": "p", "owner": "", "request": "nobody:v3", "requested_by": "pod",
			"outcome": "skipped", "reason": "unknown_sidecar", "sidecars": []any{}, "generation": 1.0,
			"detail": message(t, policy(), create(asking("nobody:v3", "app"))),
		}},
		{"bad", create(`{"spec":"text"}`), zerolog.InfoLevel, map[string]any{
			"level": "info", "message": "review", "uid": "u1", "namespace": "team", "name": "", "owner": "", "request": "", "requested_by": "",
			"outcome": "denied", "reason": "bad_review", "sidecars": []any{}, "generation": 1.0,
			"detail": `the body is not an AdmissionReview of a pod: "/request/object/spec": unexpected string`,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, logged(t, policy(), c.level, c.body)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// At the lowest level, neither the pod's variables nor the sidecar's show.
func TestNoEnvInLog(t *testing.T) {
	t.Parallel()
	i := newInjectorAt(t, policy(), zerolog.TraceLevel)
	for _, object := range []string{
		`{"metadata":{"annotations":{"injector.tumblr.com/request":"logger:v1"}},"spec":{"containers":[{"name":"a","env":[{"name":"A","value":"s3cr3t-of-pod"}]}]}}`,
		`{"spec":{"containers":[{"name":"a","env":"s3cr3t-of-pod"}]}}`,
		`{"spec":{"containers":[{"name":"a","env":[{"name":"A","value":"s3cr3t-of-pod","value":"s3cr3t-of-pod"}]}]}}`,
		`{"spec":{"containers":[{"name":"a","env":["s3cr3t-of-pod"]}]}}`,
	} {
		review(t, i, create(object))
	}
	if log := i.log.String(); strings.Contains(log, "s3cr3t") || strings.Count(log, "\n") != 4 {
		t.Errorf("unexpected log:\n%s", log)
	}
}

// Whatever a pod puts into a field, its line stays short.
func TestLongFieldsInLog(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("€", 100<<10)
	body := `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"` + long + `","namespace":"` + long + `",` +
		`"resource":{"group":"","version":"v1","resource":"pods"},"operation":"CREATE","object":{"metadata":{"generateName":"` + long + `",` +
		`"ownerReferences":[{"kind":"` + long + `","name":"x","controller":true}],"annotations":{"injector.tumblr.com/request":"` + long + `"}}}}}`
	event := logged(t, policy(), zerolog.DebugLevel, body)
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

// failing is the writer of a client that is gone.
type failing struct{ discard }

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// An answer that does not arrive leaves a line.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	i := newInjector(t, policy())
	i.ServeHTTP(&failing{discard{header: make(http.Header)}}, ask(t, strings.NewReader(create("{}"))))
	want := []map[string]any{{
		"level": "warn", "error": "io: read/write on closed pipe", "uid": "u1", "remote": "192.0.2.1:1234",
		"message": "the answer could not be sent",
	}}
	if diff := cmp.Diff(want, i.log.events(t)); diff != "" {
		t.Error(diff)
	}
}

func TestErrorLog(t *testing.T) {
	t.Parallel()
	const (
		bug       = "a request was lost to a bug: please report it"
		handshake = "a client does not trust our certificate: if it is the API server, does the webhook configuration's caBundle belong to it?"
		failed    = "connection failed"
		descripts = "no connection can be accepted: is the limit of open files reached?"
	)
	for line, want := range map[string][2]string{
		"http: panic serving 127.0.0.1:1: boom\ngoroutine 1 [running]:":                                                        {"error", bug},
		"http2: panic serving 127.0.0.1:1: boom":                                                                               {"error", bug},
		"http: TLS handshake error from 127.0.0.1:1: remote error: tls: unknown certificate authority":                         {"warn", handshake},
		"http: TLS handshake error from 127.0.0.1:1: remote error: tls: bad certificate":                                       {"warn", handshake},
		"http: TLS handshake error from 127.0.0.1:1: local error: tls: bad record MAC":                                         {"warn", handshake},
		"http: TLS handshake error from 127.0.0.1:1: client sent an HTTP request to an HTTPS server":                           {"warn", "TLS handshake failed"},
		"http: TLS handshake error from 127.0.0.1:1: EOF":                                                                      {"debug", failed},
		"http: TLS handshake error from 127.0.0.1:1: read tcp 127.0.0.1:2->127.0.0.1:1: read: connection reset by peer":        {"debug", failed},
		"http: TLS handshake error from 127.0.0.1:1: read tcp 127.0.0.1:2->127.0.0.1:1: i/o timeout":                           {"debug", failed},
		"http: Accept error: accept tcp [::]:9443: accept4: too many open files; retrying in 5ms":                              {"warn", descripts},
		"http2: server: error reading preface from client 127.0.0.1:1: bogus greeting \"GET / HTTP/1.1\\r\\nHost: 127.0.0.1\"": {"debug", failed},
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

// A panic of a handler costs one request and leaves one line, with its stack.
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
		if response, _ := mustFetch(t, c, http.MethodGet, "https://"+l.webhook+"/health", ""); response.StatusCode != http.StatusOK {
			t.Errorf("http2 %t: got %d", http2, response.StatusCode)
		}
	}
	eventually(t, "both panics in the log", func() bool {
		return strings.Count(l.log.String(), "boom") >= 2
	})
	for _, event := range l.log.events(t) {
		if text, _ := event["error"].(string); strings.Contains(text, "boom") && (event["level"] != "error" || !strings.Contains(text, "goroutine ")) {
			t.Errorf("unexpected event %v", event)
		}
	}
}
