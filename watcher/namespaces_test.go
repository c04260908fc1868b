package watcher_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiwatch "k8s.io/apimachinery/pkg/watch"

	"k8s-sidecar-injector/watcher"
)

const (
	requestAnnotation = "injector.tumblr.com/request"
	namespaceGrant    = "a ClusterRole that has the verbs get, list and watch"
	unwatchable       = "cannot watch namespaces"
)

// fakeNamespaces is a client of namespaces. A watch has the events that a test sends.
type fakeNamespaces struct {
	mu         sync.Mutex
	namespaces map[string]string // by name: the annotation
	unlisted   string            // the namespace that lists lack
	err        failure           // of all requests; nil for success
	stream     *apiwatch.FakeWatcher
	gets       []string
}

func newFakeNamespaces() *fakeNamespaces {
	return &fakeNamespaces{
		namespaces: map[string]string{"team": "logger:v1", "fresh": "logger:v2"}, unlisted: "fresh",
	}
}

func (f *fakeNamespaces) Get(
	ctx context.Context, name string, _ metav1.GetOptions,
) (*metav1.PartialObjectMetadata, error) {
	f.mu.Lock()
	request, found := f.namespaces[name]
	fail := f.err
	f.gets = append(f.gets, name)
	f.mu.Unlock()
	switch {
	case fail != nil:
		if err := fail(ctx); err != nil {
			return nil, err
		}
		return new(metav1.PartialObjectMetadata), nil
	case !found:
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, name)
	}
	return namespaceWith(name, request), nil
}

func (f *fakeNamespaces) List(ctx context.Context, _ metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fail := f.err; fail != nil {
		f.mu.Unlock()
		defer f.mu.Lock()
		return nil, fail(ctx)
	}
	list := &metav1.PartialObjectMetadataList{ListMeta: metav1.ListMeta{ResourceVersion: "7"}}
	for _, name := range slices.Sorted(maps.Keys(f.namespaces)) {
		if name != f.unlisted {
			list.Items = append(list.Items, *namespaceWith(name, f.namespaces[name]))
		}
	}
	return list, nil
}

func (f *fakeNamespaces) Watch(context.Context, metav1.ListOptions) (apiwatch.Interface, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stream = apiwatch.NewFake()
	return f.stream, nil
}

// fail makes all requests fail; nil ends this.
func (f *fakeNamespaces) fail(err failure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// set sets the annotation of a namespace.
func (f *fakeNamespaces) set(name, request string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.namespaces[name] = request
}

// send sends an event of the watch.
func (f *fakeNamespaces) send(event apiwatch.EventType, name, request string) {
	f.mu.Lock()
	stream := f.stream
	f.mu.Unlock()
	stream.Action(event, namespaceWith(name, request))
	synctest.Wait()
}

// got returns the names of the namespaces that were read, in order.
func (f *fakeNamespaces) got() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.gets, ",")
}

// namespaceWith returns a namespace with a request; an empty request is none.
func namespaceWith(name, request string) *metav1.PartialObjectMetadata {
	m := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "u", ResourceVersion: "8"}}
	if request != "" {
		m.Annotations = map[string]string{requestAnnotation: request, "other": "x"}
	}
	return m
}

// startNamespaces runs a source and waits until it is idle.
func startNamespaces(t *testing.T, client *fakeNamespaces) (*watcher.Namespaces, *logBuffer) {
	t.Helper()
	log := new(logBuffer)
	source := watcher.NewNamespaces(client, requestAnnotation, log.logger())
	background(t, source.Run)
	synctest.Wait()
	return source, log
}

// wantDefault checks the annotation of a namespace; empty means that it has none.
func wantDefault(t *testing.T, source *watcher.Namespaces, namespace, want string) {
	t.Helper()
	got, found, err := source.Default(t.Context(), namespace)
	if got != want || found != (want != "") || err != nil {
		t.Errorf("namespace %s: %q, %v, %v, want %q", namespace, got, found, err, want)
	}
}

func wantGets(t *testing.T, client *fakeNamespaces, want string) {
	t.Helper()
	if got := client.got(); got != want {
		t.Errorf("namespaces %q were read, want %q", got, want)
	}
}

func TestNamespacesAreWatched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := newFakeNamespaces()
		client.set("silent", "")
		source, log := startNamespaces(t, client)
		wantDefault(t, source, "team", "logger:v1")
		wantDefault(t, source, "silent", "")
		client.send(apiwatch.Modified, "team", "logger:v3")
		wantDefault(t, source, "team", "logger:v3")
		client.send(apiwatch.Modified, "team", "")
		wantDefault(t, source, "team", "")
		wantGets(t, client, "")
		log.wantLines(t, "", 0)
	})
}

// A namespace that the informer has not seen is read once. Its cache entry ends when the informer sees it.
func TestNamespaceNotYetSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := newFakeNamespaces()
		source, _ := startNamespaces(t, client)
		for range 3 {
			wantDefault(t, source, "fresh", "logger:v2")
		}
		wantGets(t, client, "fresh")
		if got := source.Cached(); got != 1 {
			t.Errorf("%d namespaces are cached", got)
		}
		client.send(apiwatch.Added, "fresh", "logger:v3")
		wantDefault(t, source, "fresh", "logger:v3")
		if got := source.Cached(); got != 0 {
			t.Errorf("%d namespaces are cached", got)
		}
		client.send(apiwatch.Deleted, "fresh", "logger:v3")
		wantDefault(t, source, "fresh", "logger:v2")
		wantGets(t, client, "fresh,fresh")
	})
}

func TestNamespacesBeforeRun(t *testing.T) {
	t.Parallel()
	source := watcher.NewNamespaces(newFakeNamespaces(), requestAnnotation, new(logBuffer).logger())
	wantPending(t, source.Pending(), "namespaces have not been read yet: not synced yet")
	wantDefault(t, source, "team", "logger:v1")
}

// Concurrent calls for one namespace share a request. A caller that leaves does not cancel it.
func TestNamespaceRequestIsShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := newFakeNamespaces()
		source, _ := startNamespaces(t, client)
		client.fail(func(context.Context) error {
			<-time.After(time.Second)
			return errors.New("away")
		})
		ctx, cancel := context.WithCancel(t.Context())
		errs := make(chan error, 51)
		get := func(ctx context.Context) {
			_, _, err := source.Default(ctx, "fresh")
			errs <- err
		}
		go get(ctx)
		synctest.Wait()
		for range 50 {
			go get(t.Context())
		}
		cancel()
		if err := <-errs; fmt.Sprint(err) != "cannot get namespace fresh: no response in time" {
			t.Errorf("the caller that leaves gets %v", err)
		}
		for range 50 {
			if err := <-errs; fmt.Sprint(err) != "cannot get namespace fresh: away" {
				t.Errorf("another caller gets %v", err)
			}
		}
		wantGets(t, client, "fresh")
	})
}

// NotFound is not cached, and impossible names are not requested.
func TestNamespaceNotFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := newFakeNamespaces()
		source, _ := startNamespaces(t, client)
		wantDefault(t, source, "later", "")
		client.set("later", "logger:v4")
		wantDefault(t, source, "later", "logger:v4")
		for _, name := range []string{
			"", ".", "..", "a/b", "a/../../../healthz", "a%2fb", "A", "a b", strings.Repeat("a", 64), "a?x=y",
		} {
			wantDefault(t, source, name, "")
		}
		wantGets(t, client, "later,later")
	})
}

func TestNamespacesFailAtStart(t *testing.T) {
	t.Parallel()
	for name, test := range failures("namespaces", namespaceGrant) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client := newFakeNamespaces()
				client.fail(test.fail)
				source, log := startNamespaces(t, client)
				advance(5 * time.Minute)
				want := "cannot list namespaces: " + test.want
				if line := log.wantLines(t, unwatchable, 1)[0]; line["error"] != want {
					t.Errorf("logged %q, want %q", line["error"], want)
				}
				wantPending(t, source.Pending(), "namespaces have not been read yet: "+want)
				client.fail(nil)
				advance(2 * time.Minute)
				wantPending(t, source.Pending())
				log.wantLines(t, "namespaces are watched again", 1)
				wantDefault(t, source, "team", "logger:v1")
			})
		})
	}
}

// While requests fail, known annotations stay in use, and other lookups fail.
func TestNamespacesFailLater(t *testing.T) {
	t.Parallel()
	tests := failures("namespaces", namespaceGrant)
	const foreign = "the response is not a Namespace"
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"an object":    {nil, foreign},
		"another kind": {runtime.NewNotRegisteredErrForKind("x", schema.GroupVersionKind{Kind: "Page"}), foreign},
		"a proxy": {
			apierrors.NewGenericServerResponse(404, "get", schema.GroupResource{}, "", "no such page", 0, true),
			"the server could not find the requested resource",
		},
	} {
		tests[name] = struct {
			fail failure
			want string
		}{func(context.Context) error { return test.err }, test.want}
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client := newFakeNamespaces()
				source, _ := startNamespaces(t, client)
				wantDefault(t, source, "fresh", "logger:v2")
				client.fail(test.fail)
				wantDefault(t, source, "team", "logger:v1")
				wantDefault(t, source, "fresh", "logger:v2")
				_, found, err := source.Default(t.Context(), "unseen")
				if want := "cannot get namespace unseen: " + test.want; found || fmt.Sprint(err) != want {
					t.Errorf("%v, %v, want %q", found, err, want)
				}
				client.fail(nil)
				client.set("unseen", "logger:v5")
				wantDefault(t, source, "unseen", "logger:v5")
			})
		})
	}
}

// A cache entry expires, so that the deletion of a namespace is noticed. While requests fail, the last response
// stays in use.
func TestNamespaceCacheExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := newFakeNamespaces()
		source := watcher.NewNamespaces(client, requestAnnotation, new(logBuffer).logger())
		wantDefault(t, source, "team", "logger:v1")
		client.set("team", "logger:v2")
		advance(29 * time.Second)
		wantDefault(t, source, "team", "logger:v1")
		wantGets(t, client, "team")
		advance(2 * time.Second)
		wantDefault(t, source, "team", "logger:v2")
		client.fail(internal)
		for range 10 {
			advance(6 * time.Second)
			wantDefault(t, source, "team", "logger:v2")
		}
		wantGets(t, client, "team,team,team,team")
		client.fail(nil)
		delete(client.namespaces, "team")
		advance(31 * time.Second)
		wantDefault(t, source, "team", "")
		client.fail(internal)
		if _, _, err := source.Default(t.Context(), "team"); err == nil {
			t.Error("a deleted namespace is cached")
		}
	})
}

// The cache is bounded. The oldest entries make room for new ones.
func TestNamespaceCacheIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := newFakeNamespaces()
		source := watcher.NewNamespaces(client, requestAnnotation, new(logBuffer).logger())
		for n := range watcher.MaxCached + 10 {
			client.set(strconv.Itoa(n), "logger:v1")
			wantDefault(t, source, strconv.Itoa(n), "logger:v1")
		}
		if got := source.Cached(); got != watcher.MaxCached {
			t.Errorf("%d namespaces are cached", got)
		}
		gets := len(client.gets)
		wantDefault(t, source, strconv.Itoa(watcher.MaxCached+9), "logger:v1")
		if got := len(client.gets) - gets; got != 0 {
			t.Errorf("the latest namespace was read again")
		}
		wantDefault(t, source, "0", "logger:v1")
		if got := len(client.gets) - gets; got != 1 {
			t.Errorf("the oldest namespace is cached")
		}
	})
}
