package kube_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

const forbidden = `configmaps is forbidden: User "system:serviceaccount:a:b" cannot list resource "configmaps"`

// fault is a response of an API server and a part of the resulting error.
type fault struct {
	fail http.HandlerFunc
	want string
}

func faults() map[string]fault {
	later := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "1")
		status(429, metav1.StatusReasonTooManyRequests, "slow down")(w, r)
	}
	half := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"9"},"items":[`)
	}
	page := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<html>Please log in</html>")
	}
	const (
		noList   = "the response is not a list of this kind"
		object   = `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"m","resourceVersion":"9"}}`
		secrets  = `{"kind":"SecretList","apiVersion":"v1","metadata":{"resourceVersion":"9"},"items":[]}`
		success  = `{"kind":"Status","apiVersion":"v1","metadata":{"resourceVersion":"9"},"status":"Success"}`
		unknown  = `{"kind":"HealthList","apiVersion":"x/v9","metadata":{"resourceVersion":"9"},"items":[]}`
		badToken = "Unauthorized: the API server does not accept the token"
	)
	return map[string]fault{
		"unauthorized":   {status(401, metav1.StatusReasonUnauthorized, "Unauthorized"), badToken},
		"forbidden":      {status(403, metav1.StatusReasonForbidden, forbidden), forbidden + ": grant it with a Role"},
		"not found":      {status(404, metav1.StatusReasonNotFound, "could not find it"), "could not find it"},
		"gone":           {status(410, metav1.StatusReasonExpired, "too old resource version"), "too old resource version"},
		"too many":       {status(429, metav1.StatusReasonTooManyRequests, "slow down"), "slow down"},
		"retry after":    {later, "slow down"},
		"internal":       {status(500, metav1.StatusReasonInternalError, "etcd is gone"), "etcd is gone"},
		"unavailable":    {status(503, metav1.StatusReasonServiceUnavailable, "starting"), "starting"},
		"garbage":        {respond("<html>\x00\xff"), ""},
		"a page":         {page, ""},
		"half a list":    {half, ""},
		"nothing":        {respond(""), ""},
		"an object":      {respond("{}"), noList},
		"a version only": {respond(`{"metadata":{"resourceVersion":"9"}}`), noList},
		"no kind":        {respond(`{"metadata":{"resourceVersion":"9"},"items":[]}`), noList},
		"no version":     {respond(`{"kind":"ConfigMapList","apiVersion":"v1","metadata":{},"items":[]}`), noList},
		"one of them":    {respond(object), noList},
		"another list":   {respond(secrets), noList},
		"success":        {respond(success), noList},
		"unknown kind":   {respond(unknown), noList},
		"closed":         {closeConnection, ""},
		"hang":           {hang, "no response in time"},
	}
}

// check checks the error of a list.
func (f *fault) check(t *testing.T, text string) {
	t.Helper()
	if !strings.HasPrefix(text, "cannot list configmaps in namespace sidecars: ") || !strings.Contains(text, f.want) ||
		strings.Contains(text, "timeoutSeconds") || strings.Contains(text, "\n") {
		t.Errorf("the error is %q, want %q in it", text, f.want)
	}
}

// A failure is reported once. The objects are listed when the API server works.
func TestServerFailsAtStart(t *testing.T) {
	t.Parallel()
	each(t, faults(), func(t *testing.T, fault fault) {
		t.Helper()
		s := newAPIServer(t)
		s.failWith(fault.fail)
		o := s.informer(t).run(t)
		eventually(t, "there is an error", func() bool { return o.Err() != nil })
		fault.check(t, o.Err().Error())
		eventually(t, "the request is repeated", func() bool { return s.requestCount("list") >= 2 })
		if o.HasSynced() || len(o.All()) != 0 {
			t.Error("it has synced")
		}
		s.failWith(nil)
		eventually(t, "the list arrives", func() bool { return o.hasOnly("first") && o.HasSynced() })
		eventually(t, "recovery is reported", func() bool { return len(o.failures()) == 2 })
		if reported := o.failures(); reported[1] != "ok" || o.Err() != nil {
			t.Errorf("reported: %q, now %v", reported, o.Err())
		}
	})
}

// Objects survive any failure, and later edits arrive. An expired watch leads to the list that fails.
func TestServerFailsLater(t *testing.T) {
	t.Parallel()
	each(t, faults(), func(t *testing.T, fault fault) {
		t.Helper()
		s, o := startSynced(t)
		s.failWith(fault.fail)
		s.endWatch(t, failed(410, metav1.StatusReasonExpired, "too old resource version"))
		eventually(t, "there is an error", func() bool { return o.Err() != nil })
		fault.check(t, o.Err().Error())
		eventually(t, "the request is repeated", func() bool { return s.requestCount("list") >= 3 })
		if !o.hasOnly("first") || !o.HasSynced() {
			t.Errorf("it holds %q", o.All())
		}
		s.edit("second")
		s.failWith(nil)
		eventually(t, "the edit arrives", func() bool { return o.hasOnly("second") })
		eventually(t, "recovery is reported", func() bool { return len(o.failures()) == 2 })
	})
}

func TestList(t *testing.T) {
	t.Parallel()
	each(t, faults(), func(t *testing.T, fault fault) {
		t.Helper()
		s := newAPIServer(t)
		s.failWith(fault.fail)
		kept, err := s.informer(t).List(t.Context())
		if err == nil {
			t.Fatalf("it returns %q", kept)
		}
		fault.check(t, err.Error())
	})
	synctest.Test(t, func(t *testing.T) {
		kept, err := newAPIServer(t).informer(t).List(t.Context())
		if err != nil || !slices.Equal(kept, []string{"first"}) {
			t.Errorf("it returns %q, %v", kept, err)
		}
	})
}

func TestConnectionRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newAPIServer(t)
		o := s.informer(t)
		s.stop()
		o.run(t)
		eventually(t, "there is an error", func() bool { return o.Err() != nil })
		if text := o.Err().Error(); !strings.HasSuffix(text, "connection refused") {
			t.Error(text)
		}
	})
}

// A restart of the server is one failure: a watch and a list have the same cause.
func TestServerRestarts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newAPIServer(t)
		o := s.informer(t).run(t)
		eventually(t, "it is watched", func() bool { return s.requestCount("watch") == 1 })
		s.stop()
		eventually(t, "there is an error", func() bool { return o.Err() != nil })
		eventually(t, "lists fail, too", func() bool { return strings.HasPrefix(o.Err().Error(), "cannot list ") })
		s.edit("second")
		s.start()
		eventually(t, "the edit arrives", func() bool { return o.hasOnly("second") })
		eventually(t, "recovery is reported", func() bool { return len(o.failures()) == 2 })
	})
}

// An expired watch is part of normal operation.
func TestWatchExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o := startSynced(t)
		eventually(t, "it is watched", func() bool { return s.requestCount("watch 1") == 1 })
		s.change(func() { s.content, s.version = "second", 11 }) // the watch does not see it
		s.endWatch(t, failed(410, metav1.StatusReasonExpired, "too old resource version"))
		eventually(t, "the edit arrives", func() bool { return o.hasOnly("second") })
		eventually(t, "it is watched again", func() bool { return s.requestCount("watch 11") == 1 })
		if lists := s.requestCount("list"); lists != 2 {
			t.Errorf("%d lists", lists)
		}
		if reported := o.failures(); reported != nil {
			t.Errorf("reported: %q", reported)
		}
		s.change(func() { s.watching = status(410, metav1.StatusReasonExpired, "always too old") })
		s.endWatch(t, "")
		eventually(t, "it is reported", func() bool { return o.Err() != nil })
		if text := o.Err().Error(); text != "cannot watch configmaps in namespace sidecars: always too old" {
			t.Error(text)
		}
	})
}

// foreign is an object of a kind and a version.
func foreign(kind, version string) map[string]any {
	metadata := map[string]any{"name": "m", "resourceVersion": version}
	return map[string]any{"kind": kind, "apiVersion": "v1", "metadata": metadata}
}

// An error event is reported, and the next list and watch clear it.
func TestWatchFails(t *testing.T) {
	t.Parallel()
	const noObject = "the API server sent an object of another kind or without a resourceVersion"
	each(t, map[string]struct{ event, want string }{
		"forbidden":    {failed(403, metav1.StatusReasonForbidden, "no more"), "no more: grant it with a Role"},
		"internal":     {failed(500, metav1.StatusReasonInternalError, "etcd is gone"), "etcd is gone"},
		"no version":   {event(watch.Modified, foreign("ConfigMap", "")), noObject},
		"other kind":   {event(watch.Deleted, foreign("Secret", "5")), noObject},
		"garbage":      {"<html>\x00\xff", "unable to decode an event"},
		"not an event": {`{"kind":"Status","apiVersion":"v1","status":"Failure","code":500}`, "unable to decode an event"},
	}, func(t *testing.T, test struct{ event, want string }) {
		t.Helper()
		s, o := startSynced(t)
		s.endWatch(t, test.event)
		eventually(t, "it is reported and cleared", func() bool { return len(o.failures()) == 2 })
		reported := o.failures()
		text, found := strings.CutPrefix(reported[0], "cannot watch configmaps in namespace sidecars: ")
		if !found || !strings.Contains(text, test.want) || reported[1] != "ok" {
			t.Errorf("reported: %q, want %q", reported, test.want)
		}
		s.edit("second")
		eventually(t, "edits arrive", func() bool { return o.hasOnly("second") })
	})
}

// A watch that cannot be opened is one failure, although lists succeed and update the objects.
func TestWatchCannotBeOpened(t *testing.T) {
	t.Parallel()
	each(t, map[string]fault{
		"forbidden": {status(403, metav1.StatusReasonForbidden, "no watch"), "no watch: grant it with a Role"},
		"hang":      {hang, "no response in time"},
		"closed":    {closeConnection, "the connection was closed without a response"},
	}, func(t *testing.T, test fault) {
		t.Helper()
		s := newAPIServer(t)
		s.watching = test.fail
		o := s.informer(t).run(t)
		eventually(t, "the request is repeated", func() bool { return s.requestCount("watch") >= 3 })
		s.edit("second")
		eventually(t, "the edit arrives", func() bool { return o.hasOnly("second") })
		want := "cannot watch configmaps in namespace sidecars: " + test.want
		if reported := o.failures(); !slices.Equal(reported, []string{want}) {
			t.Errorf("reported: %q", reported)
		}
		s.change(func() { s.watching = nil })
		eventually(t, "recovery is reported", func() bool { return len(o.failures()) == 2 })
	})
}

// A proxy that closes watches causes no list. The next watch reports the edits, and one line is logged.
func TestWatchCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newAPIServer(t)
		s.duration = 10 * time.Millisecond
		o := s.informer(t).run(t)
		eventually(t, "it is logged", func() bool { return o.logged() == 1 })
		before := s.requestCount("watch 1")
		s.edit("second")
		eventually(t, "the edit arrives", func() bool { return o.hasOnly("second") })
		if after := s.requestCount("watch 1"); after > before+1 {
			t.Errorf("the edit took %d watches", after-before)
		}
		eventually(t, "the next watch begins with the edit", func() bool { return s.requestCount("watch 2") >= 2 })
		if lists := s.requestCount("list"); lists != 1 || o.Err() != nil || o.logged() != 1 {
			t.Errorf("%d lists, %d lines, %v", lists, o.logged(), o.Err())
		}
	})
}

// A bookmark sets the version of the next watch.
func TestBookmark(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o := startSynced(t)
		s.endWatch(t, event(watch.Bookmark, object(77, "ignored")))
		eventually(t, "the next watch begins there", func() bool { return s.requestCount("watch 77") == 1 })
		if !o.hasOnly("first") || o.changes() != "" || s.requestCount("list") != 1 {
			t.Errorf("it holds %q after changes %q", o.All(), o.changes())
		}
	})
}

func TestEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newAPIServer(t)
		o := s.informer(t).run(t)
		other := object(5, "other")
		other.Name = "n"
		s.endWatch(t, event(watch.Added, other))
		eventually(t, "an object is added", func() bool { return len(o.All()) == 2 })
		s.endWatch(t, event(watch.Deleted, object(6, "first")))
		eventually(t, "an object is deleted", func() bool { return o.hasOnly("other") })
		if kept, found := o.Get("n"); kept != "other" || !found {
			t.Errorf("Get returns %q, %v", kept, found)
		}
		if _, found := o.Get("m"); found {
			t.Error("Get returns a deleted object")
		}
		if changes := o.changes(); changes != ",n,m" {
			t.Errorf("changes: %q", changes)
		}
	})
}
