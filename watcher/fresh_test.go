package watcher_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiwatch "k8s.io/apimachinery/pkg/watch"

	"k8s-sidecar-injector/watcher"
)

// lagging is an API server that answers for single namespaces and has neither lists nor watches.
type lagging struct {
	namespaces map[string]string
	err        error
	gets       int
}

func (l *lagging) Get(_ context.Context, name string, _ metav1.GetOptions) (*metav1.PartialObjectMetadata, error) {
	l.gets++
	if l.err != nil {
		return nil, l.err
	}
	request, found := l.namespaces[name]
	if !found {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, name)
	}
	metadata := metadataOf(name, request)
	return &metadata, nil
}

func (l *lagging) List(context.Context, metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
	return nil, errors.New("no lists")
}

func (l *lagging) Watch(context.Context, metav1.ListOptions) (apiwatch.Interface, error) {
	return nil, errors.New("no watches")
}

// The answer about a namespace that the informer does not see expires, so that a namespace that was
// deleted or made again is noticed. While the API server fails, the last answer stays in use.
func TestNamespaceAnswersExpire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &lagging{namespaces: map[string]string{"team": "logger:v1"}}
		source := watcher.NewNamespaces(l, requestAnnotation, new(logbook).logger())
		wantDefault(t, source, "team", "logger:v1")
		l.namespaces["team"] = "logger:v2"
		<-time.After(29 * time.Second)
		wantDefault(t, source, "team", "logger:v1")
		if l.gets != 1 {
			t.Errorf("%d requests", l.gets)
		}
		<-time.After(2 * time.Second)
		wantDefault(t, source, "team", "logger:v2")
		l.err = errors.New("away")
		for range 10 {
			<-time.After(6 * time.Second)
			wantDefault(t, source, "team", "logger:v2")
		}
		if l.gets > 4 {
			t.Errorf("%d requests", l.gets)
		}
		l.err = nil
		delete(l.namespaces, "team")
		<-time.After(31 * time.Second)
		wantDefault(t, source, "team", "")
		l.err = errors.New("away")
		if _, _, err := source.Default(t.Context(), "team"); err == nil {
			t.Error("a deleted namespace is remembered")
		}
	})
}

// Expired answers make room for others.
func TestNamespaceAnswersMakeRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &lagging{namespaces: make(map[string]string)}
		source := watcher.NewNamespaces(l, requestAnnotation, new(logbook).logger())
		for n := range watcher.MostRemembered + 1 {
			l.namespaces[strconv.Itoa(n)] = "logger:v1"
			wantDefault(t, source, strconv.Itoa(n), "logger:v1")
		}
		if got := source.Remembered(); got != watcher.MostRemembered {
			t.Errorf("%d answers are remembered", got)
		}
		<-time.After(31 * time.Second)
		l.namespaces["late"] = "logger:v2"
		wantDefault(t, source, "late", "logger:v2")
		if got := source.Remembered(); got != 1 {
			t.Errorf("%d answers are remembered", got)
		}
	})
}
