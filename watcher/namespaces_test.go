package watcher_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"k8s-sidecar-injector/kube"
	"k8s-sidecar-injector/watcher"
)

const requestAnnotation = "injector.tumblr.com/request"

// namespaceServer is an API server with namespaces. Watches have the events that a test sends.
type namespaceServer struct {
	*httptest.Server
	events chan string

	mu         sync.Mutex
	namespaces map[string]string // by name: the annotation
	unlisted   map[string]bool   // those that lists do not have yet
	fail       http.HandlerFunc  // answers instead; nil if all is well
	gets       []string          // names that were asked for
}

func newNamespaceServer(t *testing.T, fail http.HandlerFunc) *namespaceServer {
	t.Helper()
	s := &namespaceServer{
		events: make(chan string), fail: fail,
		namespaces: map[string]string{"team": "logger:v1", "fresh": "logger:v2"}, unlisted: map[string]bool{"fresh": true},
	}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	t.Cleanup(s.CloseClientConnections)
	return s
}

// become has the server answer so from now on.
func (s *namespaceServer) become(fail http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

// send has the watch tell of a namespace.
func (s *namespaceServer) send(t *testing.T, kind, name, request string) {
	t.Helper()
	event, err := json.Marshal(map[string]any{"type": kind, "object": metadataOf(name, request)})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case s.events <- string(event):
	case <-time.After(deadline):
		t.Fatal("there is no watch")
	}
}

// asked are the names that were asked for, in order.
func (s *namespaceServer) asked() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.gets, ",")
}

func metadataOf(name, request string) metav1.PartialObjectMetadata {
	m := metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadata"},
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: "u", ResourceVersion: "8"},
	}
	if request != "" {
		m.Annotations = map[string]string{requestAnnotation: request, "other": "x"}
	}
	return m
}

func (s *namespaceServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, get := strings.CutPrefix(r.URL.Path, "/api/v1/namespaces/")
	s.mu.Lock()
	fail := s.fail
	if get {
		s.gets = append(s.gets, name)
	}
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch {
	case fail != nil:
		fail(w, r)
	case get:
		s.get(w, r, name)
	case r.URL.Query().Get("watch") == "":
		s.list(w)
	default:
		s.watch(w, r)
	}
}

func (s *namespaceServer) get(w http.ResponseWriter, r *http.Request, name string) {
	s.mu.Lock()
	request, found := s.namespaces[name]
	s.mu.Unlock()
	if !found {
		status(404, metav1.StatusReasonNotFound, `namespaces "`+name+`" not found`)(w, r)
		return
	}
	_ = json.NewEncoder(w).Encode(metadataOf(name, request))
}

func (s *namespaceServer) list(w http.ResponseWriter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := metav1.PartialObjectMetadataList{
		TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadataList"},
		ListMeta: metav1.ListMeta{ResourceVersion: "7"},
	}
	for name, request := range s.namespaces {
		if !s.unlisted[name] {
			list.Items = append(list.Items, metadataOf(name, request))
		}
	}
	_ = json.NewEncoder(w).Encode(list)
}

func (s *namespaceServer) watch(w http.ResponseWriter, r *http.Request) {
	for {
		w.(http.Flusher).Flush() //nolint:forcetypeassert // it is net/http's own
		select {
		case event := <-s.events:
			_, _ = io.WriteString(w, event)
		case <-r.Context().Done():
			return
		}
	}
}

// source gives the namespaces of the server, which nobody follows yet.
func (s *namespaceServer) source(t *testing.T) (*watcher.Namespaces, *logbook) {
	t.Helper()
	group := kube.Group{Version: schema.GroupVersion{Version: "v1"}, Add: func(scheme *runtime.Scheme) error {
		metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
		return metav1.AddMetaToScheme(scheme)
	}}
	client, err := kube.NewClient(&rest.Config{Host: s.URL, QPS: -1}, group, "namespaces", "",
		func() *metav1.PartialObjectMetadata { return new(metav1.PartialObjectMetadata) },
		func() *metav1.PartialObjectMetadataList { return new(metav1.PartialObjectMetadataList) })
	if err != nil {
		t.Fatal(err)
	}
	log := new(logbook)
	source := watcher.NewNamespaces(client, requestAnnotation, log.logger())
	source.SetTimeouts(300*time.Millisecond, 2*time.Second)
	return source, log
}

// followed runs it, and waits until it is synced.
func (s *namespaceServer) followed(t *testing.T) (*watcher.Namespaces, *logbook) {
	t.Helper()
	source, log := s.source(t)
	background(t, source.Run)
	eventually(t, "the namespaces are read", func() bool { return source.Pending() == nil })
	return source, log
}

// wantDefault wants this answer; none is a namespace without a request.
func wantDefault(t *testing.T, source *watcher.Namespaces, namespace, want string) {
	t.Helper()
	got, found, err := source.Default(t.Context(), namespace)
	if got != want || found != (want != "") || err != nil {
		t.Errorf("namespace %s: %q, %v, %v, want %q", namespace, got, found, err, want)
	}
}

// becomes waits until a namespace has this request.
func becomes(t *testing.T, source *watcher.Namespaces, namespace, want string) {
	t.Helper()
	eventually(t, namespace+" has "+want, func() bool {
		got, _, err := source.Default(t.Context(), namespace)
		return got == want && err == nil
	})
}

func TestNamespacesAreFollowed(t *testing.T) {
	t.Parallel()
	s := newNamespaceServer(t, nil)
	s.namespaces["silent"] = ""
	source, log := s.followed(t)
	wantDefault(t, source, "team", "logger:v1")
	wantDefault(t, source, "silent", "")
	s.send(t, "MODIFIED", "team", "logger:v3")
	becomes(t, source, "team", "logger:v3")
	s.send(t, "MODIFIED", "team", "")
	becomes(t, source, "team", "")
	if asked := s.asked(); asked != "" {
		t.Errorf("the server was asked for %s, which it had told of", asked)
	}
	if text := fmt.Sprint(log.lines(t, "")); text != "[]" {
		t.Errorf("something is logged: %s", text)
	}
}

// A namespace that was not seen yet is asked for once, and forgotten as soon as it is seen.
func TestNamespaceNotYetSeen(t *testing.T) {
	t.Parallel()
	s := newNamespaceServer(t, nil)
	source, _ := s.followed(t)
	for range 3 {
		wantDefault(t, source, "fresh", "logger:v2")
	}
	if asked := s.asked(); asked != "fresh" || source.Remembered() != 1 {
		t.Errorf("the server was asked for %s, and %d answers are remembered", asked, source.Remembered())
	}
	s.send(t, "ADDED", "fresh", "logger:v3")
	becomes(t, source, "fresh", "logger:v3")
	eventually(t, "the answer is forgotten", func() bool { return source.Remembered() == 0 })
	s.send(t, "DELETED", "fresh", "logger:v3")
	becomes(t, source, "fresh", "logger:v2") // as the server says now
	if asked := s.asked(); asked != "fresh,fresh" {
		t.Errorf("the server was asked for %s", asked)
	}
}

// Before the first list, everything is asked for.
func TestNamespacesBeforeRun(t *testing.T) {
	t.Parallel()
	s := newNamespaceServer(t, nil)
	source, _ := s.source(t)
	if pending := fmt.Sprint(source.Pending()); pending != "[namespaces have not been read yet: not synced yet]" {
		t.Errorf("pending is %s", pending)
	}
	wantDefault(t, source, "team", "logger:v1")
}

// All who ask for a namespace at a time share one question, and those for another one have theirs.
// Who leaves takes the answer from nobody.
func TestNamespaceQuestionIsShared(t *testing.T) {
	t.Parallel()
	s := newNamespaceServer(t, nil)
	source, _ := s.source(t)
	source.SetTimeouts(deadline, deadline)
	background(t, source.Run)
	eventually(t, "the namespaces are read", func() bool { return source.Pending() == nil })
	going := make(chan struct{})
	s.become(func(w http.ResponseWriter, r *http.Request) {
		<-going
		s.get(w, r, strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/"))
	})
	hasty, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, _, err := source.Default(hasty, "fresh")
		left <- err
	}()
	eventually(t, "the question is asked", func() bool { return s.asked() == "fresh" })
	answers := make(chan string)
	for range 50 {
		go func() {
			request, _, err := source.Default(t.Context(), "fresh")
			answers <- fmt.Sprint(request, err)
		}()
	}
	leave()
	if err := receive(t, "the hasty one leaves", left); fmt.Sprint(err) != "cannot get namespace fresh: no answer came in time" {
		t.Errorf("who leaves is told %v", err)
	}
	close(going)
	for range 50 {
		if answer := receive(t, "an answer", answers); answer != "logger:v2<nil>" {
			t.Errorf("the answer is %s", answer)
		}
	}
	if asked := s.asked(); asked != "fresh" {
		t.Errorf("the server was asked for %s", asked)
	}
}

// That there is no such namespace is an answer, which is true for no longer than a moment.
func TestNamespaceThatDoesNotExist(t *testing.T) {
	t.Parallel()
	s := newNamespaceServer(t, nil)
	source, _ := s.followed(t)
	wantDefault(t, source, "later", "")
	s.mu.Lock()
	s.namespaces["later"] = "logger:v4"
	s.mu.Unlock()
	wantDefault(t, source, "later", "logger:v4")
	for _, impossible := range []string{"", ".", "..", "a/b", "a/../../../healthz", "a%2fb", "A", "a b", strings.Repeat("a", 64), "a?x=y"} {
		wantDefault(t, source, impossible, "")
	}
	if asked := s.asked(); asked != "later,later" {
		t.Errorf("the server was asked for %s", asked)
	}
}

// Whatever the API server answers at first, it is said once, readiness says it too, and all is well as
// soon as the API server is.
func TestNamespacesOfAServerThatFailsAtStart(t *testing.T) {
	t.Parallel()
	for name, failure := range failures() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newNamespaceServer(t, failure.fail)
			source, log := s.source(t)
			background(t, source.Run)
			eventually(t, "the failure is logged", func() bool { return len(log.lines(t, "namespaces cannot be followed")) > 0 })
			why, _ := log.lines(t, "namespaces cannot be followed")[0]["error"].(string)
			want := strings.NewReplacer("a Role", "a ClusterRole that has the verbs get, list and watch").Replace(failure.want)
			if !strings.HasPrefix(why, "cannot list namespaces: ") || !strings.Contains(why, want) || strings.Contains(why, "\n") {
				t.Errorf("it is said that %q, want %q in it", why, want)
			}
			if pending := fmt.Sprint(source.Pending()); !strings.HasPrefix(pending, "[namespaces have not been read yet: cannot list namespaces: ") {
				t.Errorf("pending is %s", pending)
			}
			s.become(nil)
			eventually(t, "nothing is pending", func() bool { return source.Pending() == nil })
			eventually(t, "that is logged", func() bool { return len(log.lines(t, "namespaces can be followed again")) == 1 })
			wantDefault(t, source, "team", "logger:v1")
		})
	}
}

// Later, what is known stays in use, and what is not known cannot be told.
func TestNamespacesOfAServerThatFailsLater(t *testing.T) {
	t.Parallel()
	for name, failure := range failures() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newNamespaceServer(t, nil)
			source, _ := s.source(t)
			source.SetTimeouts(300*time.Millisecond, time.Second)
			background(t, source.Run)
			eventually(t, "the namespaces are read", func() bool { return source.Pending() == nil })
			wantDefault(t, source, "fresh", "logger:v2")
			s.become(failure.fail)
			wantDefault(t, source, "team", "logger:v1")
			wantDefault(t, source, "fresh", "logger:v2")
			got, found, err := source.Default(t.Context(), "unseen")
			if name == "not found" {
				if found || err != nil {
					t.Errorf("%q, %v, %v", got, found, err)
				}
				return
			}
			want := strings.NewReplacer("not a list of this kind", "no Namespace", "a Role", "a ClusterRole").Replace(failure.want)
			if found || err == nil || !strings.HasPrefix(err.Error(), "cannot get namespace unseen: ") || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, %v, want %q in it", found, err, want)
			}
			s.become(nil)
			s.mu.Lock()
			s.namespaces["unseen"] = "logger:v5"
			s.mu.Unlock()
			wantDefault(t, source, "unseen", "logger:v5")
		})
	}
}

// A server that has no namespaces at all, such as a proxy, is not taken for one that lacks this one.
func TestNamespaceOfNoAPIServer(t *testing.T) {
	t.Parallel()
	s := newNamespaceServer(t, nil)
	source, _ := s.followed(t)
	s.become(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		http.NotFound(w, r)
	})
	if _, found, err := source.Default(t.Context(), "unseen"); found || err == nil {
		t.Errorf("%v, %v", found, err)
	}
}

// What is remembered is bounded; beyond, each is asked for again.
func TestNamespacesRememberedAreBounded(t *testing.T) {
	t.Parallel()
	s := newNamespaceServer(t, nil)
	source, _ := s.source(t)
	for n := range watcher.MostRemembered + 10 {
		name := "n" + strconv.Itoa(n)
		s.mu.Lock()
		s.namespaces[name] = name
		s.mu.Unlock()
		wantDefault(t, source, name, name)
	}
	if got := source.Remembered(); got != watcher.MostRemembered {
		t.Errorf("%d answers are remembered", got)
	}
}
