package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"k8s-sidecar-injector/kube"
	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/server"
)

// eventServer is an API server that stores events. It is a http.RoundTripper, so that tests can use a fake clock.
type eventServer struct {
	handler  http.HandlerFunc // nil to return what is stored
	mutex    sync.Mutex
	requests []string // method and path
	events   []corev1.Event
}

func (s *eventServer) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	event := s.store(r, body)
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", "application/json")
	if s.handler != nil {
		s.handler(w, r)
	} else {
		_ = json.NewEncoder(w).Encode(event)
	}
	return w.Result(), r.Context().Err()
}

// store stores a new or patched event and returns it.
func (s *eventServer) store(r *http.Request, body []byte) corev1.Event {
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
			_ = json.Unmarshal(body, &s.events[i]) // patches contain no lists
			return s.events[i]
		}
	}
	return event
}

// stored returns the events without timestamps and without the timestamps in their names.
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

// startRecorder runs a recorder until stop is called.
func startRecorder(t *testing.T, s *eventServer, log io.Writer) (r *recorder, stop func()) {
	t.Helper()
	client, _, err := kube.NewRESTClient(&rest.Config{
		Host: "http://api", Transport: s, QPS: -1, ContentConfig: rest.ContentConfig{ContentType: "application/json"},
	}, kube.Core())
	if err != nil {
		t.Fatal(err)
	}
	r = newRecorder(client, zerolog.New(log))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	return r, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func denied(owner, message string) server.Event {
	return server.Event{
		Namespace: "team",
		Owner:     mutate.Owner{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: owner, UID: "u2", Controller: true},
		Reason:    server.EventDenied, Message: "unknown_sidecar: " + message,
	}
}

// TestRecorder verifies that equal events become one event with a count, and that stop writes queued events.
func TestRecorder(t *testing.T) {
	t.Parallel()
	s := new(eventServer)
	log := new(strings.Builder)
	r, stop := startRecorder(t, s, log)
	for range 3 {
		r.Record(denied("web-1", "a"))
	}
	r.Record(denied("No Name", "b"))
	stop()
	event := corev1.Event{
		Type: "Warning", Reason: "PodDenied", Message: "unknown_sidecar: a", Count: 3,
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "apps/v1", Kind: "ReplicaSet", Namespace: "team", Name: "web-1", UID: "u2",
		},
		Source: corev1.EventSource{Component: "k8s-sidecar-injector"}, ReportingController: "k8s-sidecar-injector",
	}
	event.APIVersion, event.Kind, event.Name, event.Namespace = "v1", "Event", "web-1", "team"
	other := *event.DeepCopy()
	other.InvolvedObject.Name, other.Message, other.Count = "No Name", "unknown_sidecar: b", 1
	stored := s.stored()
	for i := range stored {
		if stored[i].InvolvedObject.Name == "No Name" {
			other.Name = stored[i].Name // generated, because the owner's name is not valid
		}
	}
	if diff := cmp.Diff([]corev1.Event{event, other}, stored); diff != "" || strings.Contains(other.Name, " ") {
		t.Error(diff)
	}
	if log.String() != "" {
		t.Errorf("unexpected log: %s", log)
	}
}

// TestRecorderAggregates verifies that many denials of one owner become few events and few writes.
func TestRecorderAggregates(t *testing.T) {
	t.Parallel()
	s := new(eventServer)
	r, stop := startRecorder(t, s, io.Discard)
	for i := range 900 {
		r.Record(denied("web-1", fmt.Sprintf("text %d: %s", i, strings.Repeat("x", 900))))
	}
	stop()
	stored := s.stored()
	if len(stored) < 2 || len(stored) > 10 || len(s.requests) > 25 {
		t.Fatalf("got %d events and %d writes", len(stored), len(s.requests))
	}
	last := stored[len(stored)-1]
	if !strings.HasPrefix(last.Message, "(combined from similar events): unknown_sidecar: text ") ||
		last.Count < 10 || len(last.Message) > 1024 || last.ReportingController != "k8s-sidecar-injector" {
		t.Errorf("got %+v", last)
	}
}

// TestRecorderAfterExpiry verifies that an expired event is created again with its count.
func TestRecorderAfterExpiry(t *testing.T) {
	t.Parallel()
	s := &eventServer{handler: func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`)
			return
		}
		fmt.Fprint(w, `{"kind":"Event","apiVersion":"v1","metadata":{"name":"web-1.0","namespace":"team",`+
			`"resourceVersion":"7"},"count":1}`)
	}}
	log := new(strings.Builder)
	r, stop := startRecorder(t, s, log)
	r.Record(denied("web-1", "a"))
	r.Record(denied("web-1", "a"))
	stop()
	stored := s.stored()
	if len(stored) != 2 || stored[1].Count != 2 || stored[1].ResourceVersion != "" || log.String() != "" {
		t.Errorf("got %v, %s, %s", stored, s.requests, log)
	}
}

// TestRecorderForbidden verifies that failures are logged at the first event and at the end.
func TestRecorderForbidden(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &eventServer{handler: func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"not allowed",`+
				`"reason":"Forbidden","code":403}`)
		}}
		log := new(strings.Builder)
		r, stop := startRecorder(t, s, log)
		for i := range 100 {
			r.Record(denied(fmt.Sprint("web-", i), "a"))
		}
		synctest.Wait()
		stop()
		const (
			first = `{"level":"warn","error":"not allowed","lost":1,"message":"events could not be recorded"}`
			last  = `{"level":"warn","error":"not allowed","lost":99,"message":"events could not be recorded"}`
		)
		if diff := cmp.Diff(first+"\n"+last+"\n", log.String()); diff != "" {
			t.Error(diff)
		}
	})
}

// TestRecorderHangs verifies that Record never blocks, that Run ends and that all lost events are counted, although the
// API server does not respond.
func TestRecorderHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &eventServer{handler: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }}
		log := new(strings.Builder)
		r, stop := startRecorder(t, s, log)
		start := time.Now()
		const count = 10_000
		for i := range count {
			r.Record(denied(fmt.Sprint("web-", i), "a"))
		}
		synctest.Wait()
		stop()
		if took := time.Since(start); took > eventFlushTimeout {
			t.Errorf("took %s, want at most %s", took, eventFlushTimeout)
		}
		lost := 0
		for line := range strings.Lines(log.String()) {
			var event struct{ Lost int }
			if err := json.Unmarshal([]byte(line), &event); err != nil {
				t.Fatal(err)
			}
			lost += event.Lost
		}
		if lines := strings.Count(log.String(), "\n"); lines > 3 || lost != count {
			t.Errorf("got %d of %d lost events in %d lines:\n%s", lost, count, lines, log)
		}
	})
}
