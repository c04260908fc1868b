package watcher_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/kube"
	"k8s-sidecar-injector/watcher"
)

// apiServer stands in for one that fails, which the real one of e2e cannot be made to do. It has
// one ConfigMap, and watches on which nothing happens until they are cut.
type apiServer struct {
	*httptest.Server

	mu       sync.Mutex
	content  string
	more     []corev1.ConfigMap // of the list, beside that one
	version  int
	fail     http.HandlerFunc // answers instead; nil if all is well
	cut      chan string      // ends each watch, with this event
	selector string           // of the latest list
}

func newAPIServer(t *testing.T, fail http.HandlerFunc) *apiServer {
	t.Helper()
	s := &apiServer{content: definition("first"), version: 1, fail: fail, cut: make(chan string)}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	t.Cleanup(s.CloseClientConnections)
	return s
}

// definition is one whose service account shows which it is.
func definition(account string) string {
	return "name: x\nserviceAccountName: " + account + "\n"
}

// become has the server answer so from now on, with this content when it answers well.
func (s *apiServer) become(fail http.HandlerFunc, account string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail, s.content = fail, definition(account)
	s.version++
}

// cutWith ends the watch with an event.
func (s *apiServer) cutWith(t *testing.T, event string) {
	t.Helper()
	select {
	case s.cut <- event:
	case <-time.After(deadline):
		t.Fatal("there is no watch")
	}
}

// list answers with the list.
func (s *apiServer) list(w http.ResponseWriter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = json.NewEncoder(w).Encode(corev1.ConfigMapList{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMapList"},
		ListMeta: metav1.ListMeta{ResourceVersion: fmt.Sprint(s.version)},
		Items: append([]corev1.ConfigMap{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "sidecars", Name: "m", UID: "u", ResourceVersion: fmt.Sprint(s.version), CreationTimestamp: second(2)},
			Data:       map[string]string{"k": s.content},
		}}, s.more...),
	})
}

// second is a time of creation.
func second(n int) metav1.Time {
	return metav1.NewTime(time.Date(2026, 1, 1, 0, 0, n, 0, time.UTC))
}

// made is a ConfigMap that was created in that second.
func made(n int, name, content string) corev1.ConfigMap {
	return corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "sidecars", Name: name, UID: types.UID(name + fmt.Sprint(n)), ResourceVersion: fmt.Sprint(n), CreationTimestamp: second(n)},
		Data:       map[string]string{"k": content},
	}
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	fail := s.fail
	s.selector = r.URL.Query().Get("labelSelector")
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch {
	case fail != nil:
		fail(w, r)
	case r.URL.Path != "/api/v1/namespaces/sidecars/configmaps":
		http.NotFound(w, r)
	case r.URL.Query().Get("watch") == "":
		s.list(w)
	default:
		w.(http.Flusher).Flush() //nolint:forcetypeassert // it is net/http's own
		select {
		case event := <-s.cut:
			_, _ = io.WriteString(w, event)
		case <-r.Context().Done():
		}
	}
}

// followed runs a reloader over the ConfigMaps of a server.
func followed(t *testing.T, s *apiServer) (*shelf, *logbook, *watcher.Reloader) {
	t.Helper()
	published, log := new(shelf), new(logbook)
	source := configMapsOf(t, s, log)
	reloader := watcher.NewReloader(watcher.Options{Sources: []watcher.Source{source}, Publisher: published, Log: log.logger()})
	background(t, reloader.Run)
	return published, log, reloader
}

// configMapsOf is a source that waits for a moment only.
func configMapsOf(t *testing.T, s *apiServer, log *logbook) *watcher.ConfigMaps {
	t.Helper()
	config := &rest.Config{Host: s.URL, QPS: -1, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}
	client, err := kube.NewClient(config, kube.Core(), "configmaps", "sidecars",
		func() *corev1.ConfigMap { return new(corev1.ConfigMap) }, func() *corev1.ConfigMapList { return new(corev1.ConfigMapList) })
	if err != nil {
		t.Fatal(err)
	}
	selector, err := labels.Parse("app in (a,b),!legacy")
	if err != nil {
		t.Fatal(err)
	}
	source := watcher.NewConfigMaps(client, "sidecars", selector, log.logger())
	source.SetAnswerTimeout(300 * time.Millisecond)
	return source
}

// status answers with an error as the API server does.
func status(code int, reason metav1.StatusReason, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(metav1.Status{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure,
			Code: int32(code), Reason: reason, Message: message,
		})
	}
}

const (
	forbidden = `configmaps is forbidden: User "system:serviceaccount:a:b" cannot list resource "configmaps" in API group "" in the namespace "sidecars"`
	unread    = "source cannot be read"
	readAgain = "source can be read"
)

// failures are some answers of API servers, and parts of the errors. The tests of package kube have
// more of them.
func failures() map[string]struct {
	fail http.HandlerFunc
	want string
} {
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	object := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }
	return map[string]struct {
		fail http.HandlerFunc
		want string
	}{
		"forbidden": {status(403, metav1.StatusReasonForbidden, forbidden), forbidden + ": grant it with a Role"},
		"not found": {status(404, metav1.StatusReasonNotFound, "the server could not find it"), "the server could not find it"},
		"internal":  {status(500, metav1.StatusReasonInternalError, "etcd is gone"), "etcd is gone"},
		"an object": {object, "the response is not a list of this kind"},
		"hang":      {hang, "no answer came in time"},
	}
}

// Whatever the API server answers at first: it is said once, readiness says it too, and all is
// well as soon as the API server is.
func TestConfigMapsOfAServerThatFailsAtStart(t *testing.T) {
	t.Parallel()
	for name, failure := range failures() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newAPIServer(t, failure.fail)
			published, log, reloader := followed(t, s)
			eventually(t, "the failure is logged", func() bool { return len(log.lines(t, unread)) > 0 })
			why, _ := log.lines(t, unread)[0]["error"].(string)
			if !strings.HasPrefix(why, "cannot list configmaps in namespace sidecars: ") || !strings.Contains(why, failure.want) ||
				strings.Contains(why, "timeoutSeconds") || strings.Contains(why, "\n") {
				t.Errorf("it is said that %q, want %q in it", why, failure.want)
			}
			if pending := fmt.Sprint(reloader.Pending()); !strings.Contains(pending, "configmaps sidecars (app in (a,b),!legacy) has not been read yet: cannot list") {
				t.Errorf("pending is %s", pending)
			}
			s.become(nil, "second")
			eventually(t, "it is served", func() bool { return published.served() == "x:latest=second" })
			eventually(t, "nothing is pending", func() bool { return reloader.Pending() == nil })
			log.wantLines(t, readAgain, 1)
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.selector != "app in (a,b),!legacy" {
				t.Errorf("the server was asked for %q", s.selector)
			}
		})
	}
}

// Who asks once gets the documents, or is told what is wrong, in bounded time.
func TestConfigMapsOnce(t *testing.T) {
	t.Parallel()
	for name, failure := range failures() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			documents, err := configMapsOf(t, newAPIServer(t, failure.fail), new(logbook)).Once(t.Context())
			if err == nil || !strings.HasPrefix(err.Error(), "cannot list configmaps in namespace sidecars: ") || !strings.Contains(err.Error(), failure.want) {
				t.Errorf("got %v and %v, want %q in it", documents, err, failure.want)
			}
		})
	}
	s := newAPIServer(t, nil)
	documents, err := configMapsOf(t, s, new(logbook)).Once(t.Context())
	if err != nil || len(documents) != 1 || string(documents[0].Content) != definition("first") || documents[0].Origin.Place != "sidecars/m" {
		t.Errorf("got %+v, %v", documents, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.selector != "app in (a,b),!legacy" {
		t.Errorf("the server was asked for %q", s.selector)
	}
}

// The oldest ConfigMap owns a ref: when it is listed, when it breaks, and when it is created again, also on
// a replica that starts then, and for a command that reads them once.
func TestConfigMapsOwnership(t *testing.T) {
	t.Parallel()
	s := newAPIServer(t, nil)
	served, _, reloader := followed(t, s)
	eventually(t, "the only one is served", func() bool { return served.served() == "x:latest=first" })
	for _, step := range []struct {
		content, want, fresh string
		more                 []corev1.ConfigMap
	}{
		{definition("first"), "x:latest=first", "x:latest=first", []corev1.ConfigMap{made(3, "a", definition("thief"))}},
		{"name: x\nenv: [\n", "x:latest=first (stale)", "", []corev1.ConfigMap{made(3, "a", definition("thief"))}},
		{definition("first"), "x:latest=older", "x:latest=older", []corev1.ConfigMap{made(1, "z", definition("older"))}},
		{definition("second"), "x:latest=second", "x:latest=second", []corev1.ConfigMap{made(3, "z", definition("again"))}},
	} {
		s.mu.Lock()
		s.content, s.more = step.content, step.more
		s.version++
		s.mu.Unlock()
		s.cutWith(t, expiredWatch(t))
		eventually(t, step.want, func() bool { return served.served() == step.want })

		same := newAPIServer(t, nil)
		same.content, same.more = step.content, step.more
		restarted, _, _ := followed(t, same)
		eventually(t, "on a replica that starts: "+step.fresh, func() bool { return restarted.served() == step.fresh })
		documents, err := configMapsOf(t, same, new(logbook)).Once(t.Context())
		once := new(shelf)
		once.Publish(conf.Load(documents, nil))
		if err != nil || once.served() != step.fresh {
			t.Errorf("read once: %s, %v, want %s", once.served(), err, step.fresh)
		}
	}
	if pending := reloader.Pending(); pending != nil {
		t.Errorf("pending is %v", pending)
	}
}

// expiredWatch returns the event that ends a watch and has everything listed again.
func expiredWatch(t *testing.T) string {
	t.Helper()
	event, err := json.Marshal(map[string]any{"type": "ERROR", "object": map[string]any{
		"kind": "Status", "apiVersion": "v1", "code": 410, "reason": "Expired", "message": "too old resource version",
	}})
	if err != nil {
		t.Fatal(err)
	}
	return string(event)
}

// What was served stays, and what was changed meanwhile arrives.
func TestConfigMapsOfAServerThatFailsLater(t *testing.T) {
	t.Parallel()
	for name, failure := range failures() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newAPIServer(t, nil)
			published, log, reloader := followed(t, s)
			eventually(t, "it is served", func() bool { return published.served() == "x:latest=first" })
			s.become(failure.fail, "second")
			s.cutWith(t, expiredWatch(t))
			eventually(t, "the failure is logged", func() bool { return len(log.lines(t, unread)) > 0 })
			if served := published.served(); served != "x:latest=first" || reloader.Pending() != nil {
				t.Errorf("%s is served, and %v pending", served, reloader.Pending())
			}
			s.become(nil, "third")
			eventually(t, "what is new is served", func() bool { return published.served() == "x:latest=third" })
		})
	}
}

// A watch that has expired is the usual thing, and nothing to speak of.
func TestConfigMapsOfAWatchThatExpired(t *testing.T) {
	t.Parallel()
	s := newAPIServer(t, nil)
	published, log, _ := followed(t, s)
	eventually(t, "it is served", func() bool { return published.served() == "x:latest=first" })
	s.become(nil, "second")
	s.cutWith(t, `{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","code":410,"reason":"Expired"}}`)
	eventually(t, "what is new is served", func() bool { return published.served() == "x:latest=second" })
	log.wantLines(t, unread, 0)
}

// An error within a watch is logged, and so is the recovery.
func TestConfigMapsOfAWatchThatBreaks(t *testing.T) {
	t.Parallel()
	s := newAPIServer(t, nil)
	published, log, _ := followed(t, s)
	eventually(t, "it is served", func() bool { return published.served() == "x:latest=first" })
	s.become(nil, "second")
	s.cutWith(t, `{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","code":403,"reason":"Forbidden","message":"no more"}}`)
	eventually(t, "it is logged", func() bool { return len(log.lines(t, unread)) > 0 })
	why, _ := log.lines(t, unread)[0]["error"].(string)
	if want := "cannot watch configmaps in namespace sidecars: no more: grant it with a Role that has the verbs list and watch"; why != want {
		t.Errorf("the error is %q, want %q", why, want)
	}
	eventually(t, "the next watch is good", func() bool { return len(log.lines(t, readAgain)) > 0 })
	eventually(t, "what is new is served", func() bool { return published.served() == "x:latest=second" })
}

// A watch that nobody opens: what is listed is not lost for it, and the reason is the present one.
func TestConfigMapsOfAWatchThatHangs(t *testing.T) {
	t.Parallel()
	s := newAPIServer(t, status(500, metav1.StatusReasonInternalError, "not yet"))
	_, log, reloader := followed(t, s)
	eventually(t, "the failure is logged", func() bool { return len(log.lines(t, unread)) > 0 })
	s.become(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("watch") != "" {
			<-r.Context().Done()
			return
		}
		s.list(w)
	}, "second")
	eventually(t, "the present reason is pending", func() bool {
		pending := fmt.Sprint(reloader.Pending())
		return pending == "[]" || strings.Contains(pending, "cannot watch configmaps in namespace sidecars: no answer came in time")
	})
	eventually(t, "the hang is logged", func() bool {
		return strings.Contains(fmt.Sprint(log.lines(t, unread)), "cannot watch configmaps in namespace sidecars: no answer came in time")
	})
}

// Who may list and not watch would serve what was there at the start for ever.
func TestConfigMapsThatMayNotBeWatched(t *testing.T) {
	t.Parallel()
	s := newAPIServer(t, nil)
	refuse := status(403, metav1.StatusReasonForbidden, "cannot watch")
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("watch") != "" {
			refuse(w, r)
			return
		}
		s.ServeHTTP(w, r)
	})
	_, log, reloader := followed(t, s)
	eventually(t, "it is logged", func() bool { return len(log.lines(t, unread)) > 0 })
	if pending := fmt.Sprint(reloader.Pending()); !strings.Contains(pending, "cannot watch configmaps in namespace sidecars") {
		t.Errorf("pending is %s", pending)
	}
}

func TestConfigMapsSelects(t *testing.T) {
	t.Parallel()
	source := watcher.NewConfigMaps(corev1client.New(nil).ConfigMaps("sidecars"), "sidecars", labels.SelectorFromSet(labels.Set{"app": "a"}), new(logbook).logger())
	for _, test := range []struct {
		namespace, app string
		want           bool
	}{{"sidecars", "a", true}, {"sidecars", "b", false}, {"other", "a", false}} {
		configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: test.namespace, Labels: map[string]string{"app": test.app}}}
		if got := source.Selects(configMap); got != test.want {
			t.Errorf("Selects is %v for %+v", got, test)
		}
	}
	if _, err := source.Documents(t.Context()); err != watcher.ErrNotSynced { //nolint:errorlint // no more than that
		t.Errorf("before Run, Documents gives %v", err)
	}
}
