package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/server"
	"k8s-sidecar-injector/store"
)

// sidecars are the sidecars that the recorded pods request. The containers of logger:v1 share a volume.
const sidecars = `
name: logger:v1
containers:
- name: logger
  image: registry.example/logger:1.2.3
  args: [--watch, /var/log/app]
  env:
  - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
  - {name: TOKEN, value: s3cr3t-env-value}
  ports: [{name: metrics, containerPort: 9101}]
  resources: {requests: {cpu: 20m, memory: 32Mi}, limits: {memory: 64Mi}}
  volumeMounts: [{name: positions, mountPath: /positions}]
- name: rotate
  image: registry.example/rotate:2.0.0
  env: [{name: KEEP, value: "5"}]
  volumeMounts: [{name: positions, mountPath: /positions}]
volumes:
- {name: positions, emptyDir: {}}
- {name: app-logs, emptyDir: {sizeLimit: 1Gi}}
volumeMounts:
- {name: app-logs, mountPath: /var/log/app}
env:
- {name: DATACENTER, value: from-sidecar}
- {name: LOG_DIR, value: /var/log/app}
---
name: logger
containers:
- {name: logger, image: "registry.example/logger:9"}
---
name: clash:v1
containers:
- {name: web, image: "registry.example/web:9"}
- {name: app, image: "registry.example/web:9"}
`

// load returns a store that serves the documents of one file.
func load(tb testing.TB, yaml string) *store.Store {
	tb.Helper()
	s := new(store.Store)
	serve(tb, s, yaml)
	return s
}

// serve publishes the documents of one file.
func serve(tb testing.TB, s *store.Store, yaml string) {
	tb.Helper()
	origin := conf.Origin{Root: "conf", Name: "logger.yaml"}
	set := conf.Load(conf.Split(origin, []byte(yaml)), nil)
	for _, rejection := range set.Rejections {
		tb.Fatalf("rejected: %s: %v", rejection.Origin, rejection)
	}
	s.Publish(set)
}

// expectMetrics compares metrics with their text.
func expectMetrics(tb testing.TB, registry *prometheus.Registry, want string, names ...string) {
	tb.Helper()
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), names...); err != nil {
		tb.Error(err)
	}
}

// policy returns the default policy.
func policy() *mutate.Policy {
	return &mutate.Policy{
		AnnotationNamespace: "injector.tumblr.com",
		IgnoredNamespaces:   []string{"kube-system"},
		OnUnknown:           mutate.Admit,
		OnConflict:          mutate.Deny,
	}
}

// injector is a webhook with its log, metrics and Events.
type injector struct {
	*server.Webhook
	log       *lines
	registry  *prometheus.Registry
	metrics   *server.Metrics
	lanes     *server.Lanes
	snapshots *store.Store
	events    events
}

// events are the recorded Events.
type events struct {
	mutex    sync.Mutex
	recorded []server.Event
}

// Record implements server.Recorder.
func (e *events) Record(event server.Event) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.recorded = append(e.recorded, event)
}

func newInjector(tb testing.TB, p *mutate.Policy) *injector {
	tb.Helper()
	return newInjectorAt(tb, p, zerolog.InfoLevel)
}

func newInjectorAt(tb testing.TB, p *mutate.Policy, level zerolog.Level) *injector {
	tb.Helper()
	return newInjectorOf(tb, nil, p, sidecars, level)
}

// newInjectorIn returns an injector with defaults of namespaces.
func newInjectorIn(tb testing.TB, namespaces server.Namespaces, p *mutate.Policy, level zerolog.Level) *injector {
	tb.Helper()
	return newInjectorOf(tb, namespaces, p, sidecars, level)
}

// newInjectorOf returns an injector that serves other sidecars.
func newInjectorOf(tb testing.TB, namespaces server.Namespaces, p *mutate.Policy, yaml string,
	level zerolog.Level,
) *injector {
	tb.Helper()
	snapshots := load(tb, yaml)
	i := &injector{log: new(lines), registry: prometheus.NewRegistry(), lanes: server.NewLanes(), snapshots: snapshots}
	metrics, err := server.NewMetrics(i.registry, snapshots)
	if err != nil {
		tb.Fatal(err)
	}
	i.metrics = metrics
	i.Webhook = server.NewWebhook(i.lanes, snapshots, namespaces, p, &i.events, metrics,
		zerolog.New(i.log).Level(level))
	return i
}

// lines is a log. It is safe for concurrent use.
type lines struct {
	mutex  sync.Mutex
	buffer bytes.Buffer
}

func (l *lines) Write(line []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.buffer.Write(line)
}

func (l *lines) String() string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.buffer.String()
}

// events returns the decoded lines.
func (l *lines) events(tb testing.TB) []map[string]any {
	tb.Helper()
	var events []map[string]any
	for line := range strings.Lines(l.String()) {
		var event map[string]any
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			tb.Fatalf("log line %q: %v", line, err)
		}
		events = append(events, event)
	}
	return events
}

// recorded returns a review that a real API server sent.
func recorded(tb testing.TB, name string) []byte {
	tb.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", "reviews", name+".json"))
	if err != nil {
		tb.Fatal(err)
	}
	return body
}

// newRequest returns a request as an API server sends it.
func newRequest(tb testing.TB, body io.Reader) *http.Request {
	tb.Helper()
	r := httptest.NewRequestWithContext(tb.Context(), http.MethodPost, "/mutate?timeout=10s", body)
	r.Header.Set("Content-Type", "application/json")
	return r
}

// review sends a body to a handler.
func review(tb testing.TB, handler http.Handler, body string) *httptest.ResponseRecorder {
	tb.Helper()
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, newRequest(tb, strings.NewReader(body)))
	return w
}

// reviewCounts returns the text of the metric of reviews.
func reviewCounts(counts map[mutate.Verdict]int) string {
	var text []string
	for _, v := range mutate.Verdicts() {
		text = append(text, fmt.Sprintf("sidecar_injector_reviews_total{outcome=%q,reason=%q} %d\n", v.Outcome,
			v.Reason, counts[v]))
	}
	slices.Sort(text)
	return `# HELP sidecar_injector_reviews_total Admission reviews answered, by outcome and reason.
# TYPE sidecar_injector_reviews_total counter
` + strings.Join(text, "")
}

// clip returns a text cut to a number of bytes.
func clip(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return text[:limit-3] + "..."
}

// refusals returns how many requests were refused for a cause.
func (i *injector) refusals(tb testing.TB, cause string) int {
	tb.Helper()
	families, err := i.registry.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if family.GetName() == "sidecar_injector_requests_refused_total" &&
				metric.GetLabel()[0].GetValue() == cause {
				return int(metric.GetCounter().GetValue())
			}
		}
	}
	tb.Fatalf("no counter of %s", cause)
	return 0
}
