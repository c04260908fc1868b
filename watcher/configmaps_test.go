package watcher_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	apiwatch "k8s.io/apimachinery/pkg/watch"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/watcher"
)

// fakeConfigMaps is a client of the ConfigMaps of a namespace.
type fakeConfigMaps struct {
	mu       sync.Mutex
	items    []corev1.ConfigMap
	version  int
	listErr  failure // of each list; nil for success
	watchErr failure // of each watch; nil for success
	stream   *apiwatch.FakeWatcher
	selector string // of the latest list
}

// failure returns the error of a request.
type failure func(ctx context.Context) error

func newFakeConfigMaps(account string) *fakeConfigMaps {
	f := new(fakeConfigMaps)
	f.set(configMap(2, "m", definition(account)))
	return f
}

func (f *fakeConfigMaps) List(ctx context.Context, options metav1.ListOptions) (*corev1.ConfigMapList, error) {
	f.mu.Lock()
	items, version, fail := f.items, f.version, f.listErr
	f.selector = options.LabelSelector
	f.mu.Unlock()
	if fail != nil {
		return nil, fail(ctx)
	}
	return &corev1.ConfigMapList{ListMeta: metav1.ListMeta{ResourceVersion: strconv.Itoa(version)}, Items: items}, nil
}

func (f *fakeConfigMaps) Watch(ctx context.Context, _ metav1.ListOptions) (apiwatch.Interface, error) {
	f.mu.Lock()
	f.stream = apiwatch.NewFake()
	stream, fail := f.stream, f.watchErr
	f.mu.Unlock()
	if fail != nil {
		return nil, fail(ctx)
	}
	return stream, nil
}

// set replaces the ConfigMaps. A watch does not report it.
func (f *fakeConfigMaps) set(items ...corev1.ConfigMap) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.items = items
	f.version++
}

// fail sets the errors of lists and watches.
func (f *fakeConfigMaps) fail(list, watch failure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listErr, f.watchErr = list, watch
}

// endWatch ends the watch with an error.
func (f *fakeConfigMaps) endWatch(err *apierrors.StatusError) {
	f.mu.Lock()
	stream := f.stream
	f.mu.Unlock()
	status := err.Status()
	stream.Error(&status)
}

// definition is a sidecar definition that is recognized by its service account.
func definition(account string) string {
	return "name: x\nserviceAccountName: " + account + "\n"
}

// configMap returns a ConfigMap that was created in that second.
func configMap(second int, name, content string) corev1.ConfigMap {
	return corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "sidecars", Name: name, UID: types.UID(name + strconv.Itoa(second)),
			ResourceVersion:   strconv.Itoa(second),
			CreationTimestamp: metav1.NewTime(time.Date(2026, 1, 1, 0, 0, second, 0, time.UTC)),
		},
		Data: map[string]string{"k": content},
	}
}

const selector = "app in (a,b),!legacy"

func newConfigMaps(t *testing.T, client *fakeConfigMaps, log *logBuffer) *watcher.ConfigMaps {
	t.Helper()
	parsed, err := labels.Parse(selector)
	if err != nil {
		t.Fatal(err)
	}
	return watcher.NewConfigMaps(client, "sidecars", parsed, log.logger())
}

// startConfigMaps runs a reloader over the ConfigMaps of a client.
func startConfigMaps(t *testing.T, client *fakeConfigMaps) *testReloader {
	t.Helper()
	r := newTestReloader(t, newConfigMaps(t, client, new(logBuffer))).run(t)
	advance(time.Second)
	return r
}

const (
	unreadable = "source cannot be read"
	readable   = "source can be read"
)

func forbidden(resource string) failure {
	return func(context.Context) error {
		return apierrors.NewForbidden(corev1.Resource(resource), "", errors.New("no"))
	}
}

func internal(context.Context) error { return apierrors.NewInternalError(errors.New("etcd is gone")) }

func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// failures returns some errors of requests and what people read of them. The tests of package kube have more.
func failures(resource, grant string) map[string]struct {
	fail failure
	want string
} {
	return map[string]struct {
		fail failure
		want string
	}{
		"forbidden": {forbidden(resource), resource + " is forbidden: no: grant it with " + grant},
		"internal":  {internal, "Internal error occurred: etcd is gone"},
		"hang":      {hang, "no response in time"},
	}
}

const configMapGrant = "a Role that has the verbs list and watch"

func TestConfigMapsFailAtStart(t *testing.T) {
	t.Parallel()
	for name, test := range failures("configmaps", configMapGrant) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client := newFakeConfigMaps("first")
				client.fail(test.fail, nil)
				r := startConfigMaps(t, client)
				advance(5 * time.Minute)
				want := "cannot list configmaps in namespace sidecars: " + test.want
				if line := r.log.wantLines(t, unreadable, 1)[0]; line["error"] != want {
					t.Errorf("logged %q, want %q", line["error"], want)
				}
				wantPending(t, r.Pending(), "configmaps sidecars ("+selector+") has not been read yet: "+want)
				client.fail(nil, nil)
				advance(2 * time.Minute)
				r.wantServed(t, "x:latest=first")
				wantPending(t, r.Pending())
				r.log.wantLines(t, readable, 1)
				if client.selector != selector {
					t.Errorf("the selector is %q", client.selector)
				}
			})
		})
	}
}

func TestConfigMapsOnce(t *testing.T) {
	t.Parallel()
	for name, test := range failures("configmaps", configMapGrant) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client := newFakeConfigMaps("first")
				client.fail(test.fail, nil)
				documents, err := newConfigMaps(t, client, new(logBuffer)).Once(t.Context())
				if want := "cannot list configmaps in namespace sidecars: " + test.want; fmt.Sprint(err) != want {
					t.Errorf("got %v and %v, want %q", documents, err, want)
				}
			})
		})
	}
	client := newFakeConfigMaps("first")
	documents, err := newConfigMaps(t, client, new(logBuffer)).Once(t.Context())
	if err != nil || len(documents) != 1 || string(documents[0].Content) != definition("first") ||
		documents[0].Origin.Root != "sidecars/m" || client.selector != selector {
		t.Errorf("got %+v, %v for %q", documents, err, client.selector)
	}
}

// After a load, the YAML of the ConfigMaps is not kept.
func TestConfigMapsReleaseYAML(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := newFakeConfigMaps("first")
		configMaps := newConfigMaps(t, client, new(logBuffer))
		r := newTestReloader(t, configMaps).run(t)
		advance(time.Second)
		r.wantServed(t, "x:latest=first")
		for _, account := range []string{"first", "second"} {
			changed := configMap(2, "m", definition(account))
			client.stream.Modify(&changed)
			advance(time.Second)
			r.wantServed(t, "x:latest="+account)
			documents, err := configMaps.Documents(t.Context(), nil)
			if err != nil || len(documents) != 1 || documents[0].Content != nil {
				t.Errorf("the documents are %+v, %v", documents, err)
			}
		}
		r.reload(t)
		r.wantServed(t, "x:latest=second")
	})
}

// The oldest ConfigMap owns a ref: also when it is invalid, when it is created again, on a replica that starts
// then, and for a command that lists the ConfigMaps once.
func TestConfigMapsOwnership(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := newFakeConfigMaps("first")
		r := startConfigMaps(t, client)
		r.wantServed(t, "x:latest=first")
		for _, step := range []struct {
			content       string
			other         corev1.ConfigMap
			want, restart string
		}{
			{definition("first"), configMap(3, "a", definition("thief")), "x:latest=first", "x:latest=first"},
			{"name: x\nenv: [\n", configMap(3, "a", definition("thief")), "x:latest=first (stale)", ""},
			{definition("first"), configMap(1, "z", definition("older")), "x:latest=older", "x:latest=older"},
			{definition("second"), configMap(3, "z", definition("again")), "x:latest=second", "x:latest=second"},
		} {
			client.set(configMap(2, "m", step.content), step.other)
			client.endWatch(apierrors.NewResourceExpired("too old resource version"))
			advance(10 * time.Second)
			r.wantServed(t, step.want)
			other := new(fakeConfigMaps)
			other.set(configMap(2, "m", step.content), step.other)
			startConfigMaps(t, other).wantServed(t, step.restart)
			documents, err := newConfigMaps(t, other, new(logBuffer)).Once(t.Context())
			once := new(fakePublisher)
			once.Publish(conf.Load(documents, nil))
			if err != nil || once.served() != step.restart {
				t.Errorf("listed once: %s, %v, want %s", once.served(), err, step.restart)
			}
		}
		wantPending(t, r.Pending())
		r.log.wantLines(t, unreadable, 0) // watches expire in normal operation
	})
}

// While lists fail, the last content stays in service. Afterwards, changes made meanwhile arrive.
func TestConfigMapsFailLater(t *testing.T) {
	t.Parallel()
	for name, test := range failures("configmaps", configMapGrant) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client := newFakeConfigMaps("first")
				r := startConfigMaps(t, client)
				before := len(r.log.lines(t, readable)) // 1 if the first reload preceded the first list
				client.set(configMap(2, "m", definition("second")))
				client.fail(test.fail, nil)
				client.endWatch(apierrors.NewResourceExpired("too old resource version"))
				advance(5 * time.Minute)
				r.log.wantLines(t, unreadable, 1)
				r.wantServed(t, "x:latest=first")
				wantPending(t, r.Pending())
				client.fail(nil, nil)
				advance(2 * time.Minute)
				r.wantServed(t, "x:latest=second")
				r.log.wantLines(t, readable, before+1)
			})
		})
	}
}

func TestConfigMapsWatchError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := newFakeConfigMaps("first")
		r := startConfigMaps(t, client)
		before := len(r.log.lines(t, readable))
		client.set(configMap(2, "m", definition("second")))
		client.endWatch(apierrors.NewForbidden(corev1.Resource("configmaps"), "", errors.New("no")))
		advance(10 * time.Second)
		const want = "cannot watch configmaps in namespace sidecars: configmaps is forbidden: no: grant it with " +
			configMapGrant
		if line := r.log.wantLines(t, unreadable, 1)[0]; line["error"] != want {
			t.Errorf("logged %q, want %q", line["error"], want)
		}
		r.log.wantLines(t, readable, before+1)
		r.wantServed(t, "x:latest=second")
	})
}

// A watch that cannot be opened is an error although lists succeed: edits would not be seen.
func TestConfigMapsCannotBeWatched(t *testing.T) {
	t.Parallel()
	for name, test := range failures("configmaps", configMapGrant) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client := newFakeConfigMaps("first")
				client.fail(nil, test.fail)
				r := startConfigMaps(t, client)
				advance(5 * time.Minute)
				want := "cannot watch configmaps in namespace sidecars: " + test.want
				if line := r.log.wantLines(t, unreadable, 1)[0]; line["error"] != want {
					t.Errorf("logged %q, want %q", line["error"], want)
				}
				if pending := strings.Join(r.Pending(), ""); pending != "" && !strings.HasSuffix(pending, want) {
					t.Errorf("pending: %s", pending)
				}
			})
		})
	}
}

func TestConfigMapsEmpty(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, log := new(fakeConfigMaps), new(logBuffer)
		client.set()
		newTestReloader(t, newConfigMaps(t, client, log)).run(t)
		advance(time.Hour)
		log.wantLines(t, "no ConfigMap in this namespace matches the label selector", 1)
	})
}

func TestConfigMapsSelects(t *testing.T) {
	t.Parallel()
	source := newConfigMaps(t, new(fakeConfigMaps), new(logBuffer))
	for _, test := range []struct {
		namespace, app string
		want           bool
	}{{"sidecars", "a", true}, {"sidecars", "c", false}, {"other", "a", false}} {
		configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			Namespace: test.namespace, Labels: map[string]string{"app": test.app},
		}}
		if got := source.Selects(configMap); got != test.want {
			t.Errorf("Selects is %v for %+v", got, test)
		}
	}
	if _, err := source.Documents(t.Context(), nil); !errors.Is(err, watcher.ErrNotSynced) {
		t.Errorf("before Run, Documents returns %v", err)
	}
}
