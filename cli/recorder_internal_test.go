package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"k8s-sidecar-injector/kube"
	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/server"
)

// eventServer is what an API server is to a recorder: it keeps what it is sent, and answers by the
// handler.
type eventServer struct {
	*httptest.Server
	mutex    sync.Mutex
	requests []string // method and path
	events   []corev1.Event
}

// newEventServer starts one. A handler that is nil stores everything.
func newEventServer(t *testing.T, handler http.HandlerFunc) *eventServer {
	t.Helper()
	s := new(eventServer)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		event := s.keep(r, body)
		if handler != nil {
			handler(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(event)
	}))
	t.Cleanup(s.Close)
	return s
}

// keep stores an event, or what a patch makes of it.
func (s *eventServer) keep(r *http.Request, body []byte) corev1.Event {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.requests = append(s.requests, r.Method+" "+r.URL.Path)
	var event corev1.Event
	_ = json.Unmarshal(body, &event)
	if r.Method == http.MethodPost {
		event.APIVersion, event.Kind = "v1", "Event"
		s.events = append(s.events, event)
		return event
	}
	for i := range s.events {
		if strings.HasSuffix(r.URL.Path, "/"+s.events[i].Name) {
			_ = json.Unmarshal(body, &s.events[i]) // no list is patched, so this is a merge
			return s.events[i]
		}
	}
	return event
}

// stored are the events, without what differs each time.
func (s *eventServer) stored() []corev1.Event {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	events := append([]corev1.Event(nil), s.events...)
	for i := range events {
		events[i].Name, _, _ = strings.Cut(events[i].Name, ".")
		events[i].FirstTimestamp.Reset()
		events[i].LastTimestamp.Reset()
	}
	return events
}

func (s *eventServer) asked() []string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return append([]string(nil), s.requests...)
}

// startRecorder runs a recorder on an API server until the function is called.
func startRecorder(t *testing.T, url string, log io.Writer) (r *recorder, end func()) {
	t.Helper()
	client, _, err := kube.NewRESTClient(&rest.Config{Host: url, QPS: -1, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}, kube.Core())
	if err != nil {
		t.Fatal(err)
	}
	r = newRecorder(client, zerolog.New(log))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	return r, sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(30 * time.Second):
			t.Error("the recorder does not end")
		}
	})
}

func unknown(owner, message string) server.Event {
	return server.Event{
		Namespace: "team", Owner: mutate.Owner{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: owner, UID: "u2", Controller: true},
		Reason: server.EventDenied, Message: "unknown_sidecar: " + message,
	}
}

// Events of one text are one event that counts, and what waits at the end is written.
func TestRecorder(t *testing.T) {
	t.Parallel()
	s := newEventServer(t, nil)
	log := new(strings.Builder)
	r, end := startRecorder(t, s.URL, log)
	for range 3 {
		r.Record(unknown("web-1", "a"))
	}
	r.Record(unknown("No Name", "b"))
	end()
	event := corev1.Event{
		Type: "Warning", Reason: "PodDenied", Message: "unknown_sidecar: a", Count: 3,
		InvolvedObject: corev1.ObjectReference{APIVersion: "apps/v1", Kind: "ReplicaSet", Namespace: "team", Name: "web-1", UID: "u2"},
		Source:         corev1.EventSource{Component: "k8s-sidecar-injector"}, ReportingController: "k8s-sidecar-injector",
	}
	event.APIVersion, event.Kind, event.Name, event.Namespace = "v1", "Event", "web-1", "team"
	other := *event.DeepCopy()
	other.InvolvedObject.Name, other.Message, other.Count = "No Name", "unknown_sidecar: b", 1
	stored := s.stored()
	for i := range stored {
		if stored[i].InvolvedObject.Name == "No Name" {
			other.Name = stored[i].Name // made up, as there can be no event of such a name
		}
	}
	if diff := cmp.Diff([]corev1.Event{event, other}, stored); diff != "" || strings.Contains(other.Name, " ") {
		t.Error(diff)
	}
	if log.String() != "" {
		t.Errorf("unexpected log: %s", log)
	}
}

// Thousands of denials are a handful of events, whatever they say, and few writes.
func TestRecorderAggregates(t *testing.T) {
	t.Parallel()
	s := newEventServer(t, nil)
	r, end := startRecorder(t, s.URL, io.Discard)
	for i := range 900 {
		r.Record(unknown("web-1", fmt.Sprintf("text %d: %s", i, strings.Repeat("x", 900))))
	}
	end()
	stored := s.stored()
	if len(stored) < 2 || len(stored) > 10 || len(s.asked()) > 25 {
		t.Fatalf("%d events of %d writes", len(stored), len(s.asked()))
	}
	last := stored[len(stored)-1]
	if !strings.HasPrefix(last.Message, "(combined from similar events): unknown_sidecar: text ") || last.Count < 10 || len(last.Message) > 1024 ||
		last.ReportingController != "k8s-sidecar-injector" {
		t.Errorf("got %+v", last)
	}
}

// An event that has expired is made again, with its count.
func TestRecorderAfterExpiry(t *testing.T) {
	t.Parallel()
	s := newEventServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodPatch {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`)
			return
		}
		fmt.Fprint(w, `{"kind":"Event","apiVersion":"v1","metadata":{"name":"web-1.0","namespace":"team","resourceVersion":"7"},"count":1}`)
	})
	log := new(strings.Builder)
	r, end := startRecorder(t, s.URL, log)
	r.Record(unknown("web-1", "a"))
	r.Record(unknown("web-1", "a"))
	end()
	if stored := s.stored(); len(stored) != 2 || stored[1].Count != 2 || stored[1].ResourceVersion != "" || log.String() != "" {
		t.Errorf("got %v, %s, %s", stored, s.asked(), log)
	}
}

// Of an API server that refuses, there are two lines: one at the first event, one at the end.
func TestRecorderRefused(t *testing.T) {
	t.Parallel()
	s := newEventServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no right to do so","reason":"Forbidden","code":403}`)
	})
	log := new(strings.Builder)
	r, end := startRecorder(t, s.URL, log)
	for i := range 100 {
		r.Record(unknown(fmt.Sprint("web-", i), "a"))
	}
	deadline := time.Now().Add(30 * time.Second)
	for len(s.asked()) < 100 && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	end()
	const (
		first = `{"level":"warn","error":"no right to do so","lost":1,"message":"events could not be recorded"}`
		last  = `{"level":"warn","error":"no right to do so","lost":99,"message":"events could not be recorded"}`
	)
	if diff := cmp.Diff(first+"\n"+last+"\n", log.String()); diff != "" {
		t.Error(diff)
	}
}

// An API server that does not answer holds up nobody: events are dropped, and the end comes.
func TestRecorderHangs(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := newEventServer(t, func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) })
	log := new(strings.Builder)
	r, end := startRecorder(t, s.URL, log)
	const count = 10_000
	recorded := make(chan struct{})
	go func() {
		for i := range count {
			r.Record(unknown(fmt.Sprint("web-", i), "a"))
		}
		close(recorded)
	}()
	select {
	case <-recorded:
	case <-time.After(10 * time.Second):
		t.Fatal("who records waits")
	}
	end()
	lost := 0
	for line := range strings.Lines(log.String()) {
		var said struct{ Lost int }
		if err := json.Unmarshal([]byte(line), &said); err != nil {
			t.Fatal(err)
		}
		lost += said.Lost
	}
	if lines := strings.Count(log.String(), "\n"); lines > 3 || lost != count {
		t.Errorf("of %d lost events, the log tells of %d, in %d lines:\n%s", count, lost, lines, log)
	}
}
