package kube_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"

	"k8s-sidecar-injector/kube"
)

// deadline is in the time of a synctest bubble.
const deadline = time.Hour

// eventually waits until a condition holds. The time of the bubble advances while it waits.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	timeout := time.After(deadline)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		synctest.Wait()
		if condition() {
			return
		}
		select {
		case <-timeout:
			t.Fatalf("not within %s: %s", deadline, what)
		case <-tick.C:
		}
	}
}

// each runs a test for each case, in a synctest bubble.
func each[T any](t *testing.T, cases map[string]T, test func(t *testing.T, c T)) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { test(t, c) })
		})
	}
}

// object returns the ConfigMap m.
func object(version int, content string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "sidecars", Name: "m", ResourceVersion: strconv.Itoa(version)},
		Data:       map[string]string{"k": content},
	}
}

// event returns an event of a watch as JSON.
func event(kind watch.EventType, object any) string {
	text, _ := json.Marshal(map[string]any{"type": kind, "object": object}) //nolint:errchkjson // a fixture
	return string(text)
}

// failed returns an error event.
func failed(code int, reason metav1.StatusReason, message string) string {
	return event(watch.Error, statusOf(code, reason, message))
}

func statusOf(code int, reason metav1.StatusReason, message string) metav1.Status {
	return metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure,
		Code: int32(code), Reason: reason, Message: message,
	}
}

// status returns a handler that sends an error as the API server does.
func status(code int, reason metav1.StatusReason, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(statusOf(code, reason, message))
	}
}

// respond returns a handler that sends a text with status 200.
func respond(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func closeConnection(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// pipeListener is a listener without a socket, because a synctest bubble must not wait for the network.
type pipeListener struct {
	connections chan net.Conn
	closed      chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case connection := <-l.connections:
		return connection, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	close(l.closed)
	return nil
}

func (l *pipeListener) Addr() net.Addr { return new(net.UnixAddr) }

func (l *pipeListener) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.connections <- server:
		return client, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: syscall.ECONNREFUSED}
	}
}

// apiServer is an API server with the ConfigMap m. A watch sends what changed since its version. It has to be
// made within a synctest bubble.
type apiServer struct {
	server   *http.Server
	listener *pipeListener

	mu       sync.Mutex
	content  string
	version  int
	changed  chan struct{}    // closed by the next edit
	fail     http.HandlerFunc // handles all requests instead, unless nil
	watching http.HandlerFunc // handles watches instead, unless nil
	duration time.Duration    // of a watch; zero for no limit
	send     chan string      // an event that one watch sends before it ends
	requests []string         // `list` and `watch VERSION`
}

func newAPIServer(t *testing.T) *apiServer {
	t.Helper()
	s := &apiServer{content: "first", version: 1, changed: make(chan struct{}), send: make(chan string)}
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *apiServer) start() {
	s.listener = &pipeListener{connections: make(chan net.Conn), closed: make(chan struct{})}
	s.server = &http.Server{Handler: s}
	go s.server.Serve(s.listener) //nolint:errcheck // it ends with stop
}

// stop closes all connections and refuses others.
func (s *apiServer) stop() { _ = s.server.Close() }

// change changes fields under the lock.
func (s *apiServer) change(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// failWith makes a handler handle all requests; nil ends this.
func (s *apiServer) failWith(fail http.HandlerFunc) { s.change(func() { s.fail = fail }) }

// edit changes the ConfigMap.
func (s *apiServer) edit(content string) {
	s.change(func() {
		s.content = content
		s.version++
		close(s.changed)
		s.changed = make(chan struct{})
	})
}

// endWatch sends an event and ends the watch.
func (s *apiServer) endWatch(t *testing.T, event string) {
	t.Helper()
	select {
	case s.send <- event:
	case <-time.After(deadline):
		t.Fatal("there is no watch")
	}
}

// requestCount counts the requests with this prefix.
func (s *apiServer) requestCount(prefix string) (count int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, request := range s.requests {
		if strings.HasPrefix(request, prefix) {
			count++
		}
	}
	return count
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	watching := query.Get("watch") != ""
	s.mu.Lock()
	request, fail := "list", s.fail
	if watching {
		request = "watch " + query.Get("resourceVersion")
		if fail == nil {
			fail = s.watching
		}
	}
	s.requests = append(s.requests, request)
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch {
	case fail != nil:
		fail(w, r)
	case r.URL.Path != "/api/v1/namespaces/sidecars/configmaps", query.Get("labelSelector") != "app in (a,b)":
		http.NotFound(w, r)
	case watching:
		s.watch(w, r)
	default:
		s.list(w)
	}
}

func (s *apiServer) list(w http.ResponseWriter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = json.NewEncoder(w).Encode(corev1.ConfigMapList{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMapList"},
		ListMeta: metav1.ListMeta{ResourceVersion: strconv.Itoa(s.version)},
		Items:    []corev1.ConfigMap{*object(s.version, s.content)},
	})
}

func (s *apiServer) watch(w http.ResponseWriter, r *http.Request) {
	since, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	var end <-chan time.Time
	if s.duration > 0 {
		end = time.After(s.duration)
	}
	for {
		s.mu.Lock()
		version, content, changed := s.version, s.content, s.changed
		s.mu.Unlock()
		if version > since {
			_, _ = io.WriteString(w, event(watch.Modified, object(version, content)))
			since = version
		}
		w.(http.Flusher).Flush() //nolint:forcetypeassert // it is net/http's own
		select {
		case <-changed:
		case text := <-s.send:
			_, _ = io.WriteString(w, text)
			return
		case <-end:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// observer is an informer that records its callbacks and log lines.
type observer struct {
	*kube.Informer[string]
	handler kube.Handler

	mu     sync.Mutex
	failed []string // `ok` for nil
	names  []string // of changed objects
	text   bytes.Buffer
}

func observe[L kube.List](client kube.ListerWatcher[L]) *observer {
	o := new(observer)
	keep := func(m *corev1.ConfigMap) string { return m.Data["k"] }
	o.Informer = kube.NewInformer(client, keep, kube.Options{
		What: "configmaps in namespace sidecars", Grant: "a Role", LabelSelector: "app in (a,b)", Log: zerolog.New(o),
	})
	o.handler = kube.Handler{
		Changed: func(name string) { o.record(&o.names, name) },
		Failed: func(err error) {
			if err == nil {
				o.record(&o.failed, "ok")
				return
			}
			o.record(&o.failed, err.Error())
		},
	}
	return o
}

func (o *observer) record(list *[]string, text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	*list = append(*list, text)
}

// Write records log lines.
func (o *observer) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// logged counts the log lines.
func (o *observer) logged() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Count(o.text.Bytes(), []byte("\n"))
}

// failures returns the reported errors.
func (o *observer) failures() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.failed)
}

func (o *observer) changes() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.names, ",")
}

// hasOnly reports whether the informer has only this content.
func (o *observer) hasOnly(content string) bool { return fmt.Sprint(o.All()) == "["+content+"]" }

// run runs the informer until the test ends.
func (o *observer) run(t *testing.T) *observer {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		o.Run(ctx, o.handler)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return o
}

// informer returns an informer of the ConfigMaps of a server.
func (s *apiServer) informer(t *testing.T) *observer {
	t.Helper()
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		return s.listener.dial(ctx, network, address)
	}
	transport := &http.Transport{DialContext: dial}
	t.Cleanup(transport.CloseIdleConnections)
	config := &rest.Config{Host: "http://apiserver", QPS: -1, Transport: transport}
	config.ContentType = "application/json"
	client, err := kube.NewClient(config, kube.Core(), "configmaps", "sidecars",
		func() *corev1.ConfigMap { return new(corev1.ConfigMap) },
		func() *corev1.ConfigMapList { return new(corev1.ConfigMapList) })
	if err != nil {
		t.Fatal(err)
	}
	return observe(client)
}

// startSynced returns an API server and an informer that has listed its objects.
func startSynced(t *testing.T) (*apiServer, *observer) {
	t.Helper()
	s := newAPIServer(t)
	o := s.informer(t).run(t)
	eventually(t, "it has synced", func() bool { return o.hasOnly("first") })
	return s, o
}
