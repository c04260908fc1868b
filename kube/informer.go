package kube

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
)

const (
	// requestTimeout limits a list and the opening of a watch.
	requestTimeout = 30 * time.Second
	// watchTimeout is the minimum timeout of a watch; the maximum is twice as long. The API server ends
	// the watch after its timeout. A watch that is open for watchGrace longer is dead.
	watchTimeout = 5 * time.Minute
	watchGrace   = 30 * time.Second
	// shortWatch is the duration of a watch below which the next one is delayed.
	shortWatch = time.Second
	// manyShortWatches in a row are logged, every logInterval.
	manyShortWatches = 10
	logInterval      = 10 * time.Minute
	// maxRetryAfter limits the delay that an API server can request.
	maxRetryAfter = time.Minute
	// retryDelay is the delay after a failure, which doubles until it is maxRetryDelay. Jitter adds up to as
	// much. The first delay is long enough for the owner to report the error.
	retryDelay    = 500 * time.Millisecond
	maxRetryDelay = 30 * time.Second
	// watchDelay is the delay after a short watch, multiplied by their number. It delays edits.
	watchDelay    = 50 * time.Millisecond
	maxWatchDelay = 700 * time.Millisecond
)

// ListerWatcher lists and watches one resource. It must be safe for concurrent use.
type ListerWatcher[L List] interface {
	List(ctx context.Context, options metav1.ListOptions) (L, error)
	Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error)
}

// Options are the parts of an Informer.
type Options struct {
	// What names the objects in errors, such as `configmaps in namespace sidecars`.
	What string
	// Grant names the RBAC rule that allows list and watch.
	Grant string
	// LabelSelector and FieldSelector select objects on the server; empty for all.
	LabelSelector, FieldSelector string
	Log                          zerolog.Logger
}

// Handler has the callbacks of Run, which calls them from one goroutine. They must not block.
type Handler struct {
	// Changed is called with the name of a changed object, and with an empty name after a list.
	Changed func(name string)
	// Failed is called when the error of the API server changes; nil means that it works again.
	Failed func(error)
}

// Informer keeps a part of each object of one resource, by name. Make it with NewInformer. All methods
// are safe for concurrent use; Run is called once. While the API server fails, the objects stay.
//
// It replaces client-go's Reflector, which lists again after up to 30 seconds if a watch ends early, does
// not report a list that fails with 410, and decodes a response without a kind as an empty list.
type Informer[V any] struct {
	options Options
	// These functions hide the type of the objects.
	requestList  func(context.Context, metav1.ListOptions) (List, error)
	requestWatch func(context.Context, metav1.ListOptions) (watch.Interface, error)
	keep         func(runtime.Object) (metadata metav1.Object, kept V, err error)

	// These belong to Run.
	handler      Handler
	version      string // to watch from; empty if a list has to come first
	failures     int    // since the last watch without error
	shortWatches int    // in a row
	logged       time.Time

	mu      sync.RWMutex
	objects map[string]V // nil before the first list
	failure failure      // of the latest request; zero if the API server works
}

// failure is the error of a request.
type failure struct {
	verb, cause string
	err         error
}

// NewInformer returns an informer that sends no request before Run. The function returns the part of an object to
// keep.
func NewInformer[T Object, L List, V any](client ListerWatcher[L], keep func(T) V, options Options) *Informer[V] {
	return &Informer[V]{
		options: options,
		requestList: func(ctx context.Context, options metav1.ListOptions) (List, error) {
			return client.List(ctx, options)
		},
		requestWatch: client.Watch,
		keep: func(object runtime.Object) (metadata metav1.Object, kept V, err error) {
			typed, ok := object.(T)
			if !ok {
				return nil, kept, errNoObject
			}
			return typed, keep(typed), nil
		},
	}
}

// String returns Options.What.
func (i *Informer[V]) String() string { return i.options.What }

// Get returns the object of this name.
func (i *Informer[V]) Get(name string) (object V, found bool) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	object, found = i.objects[name]
	return object, found
}

// All returns all objects, in no order.
func (i *Informer[V]) All() []V {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return slices.Collect(maps.Values(i.objects))
}

// HasSynced reports whether the objects were listed once.
func (i *Informer[V]) HasSynced() bool {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.objects != nil
}

// Err returns why the objects cannot be listed or watched now.
func (i *Informer[V]) Err() error {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.failure.err
}

// Run lists and watches the objects until ctx ends.
func (i *Informer[V]) Run(ctx context.Context, handler Handler) {
	i.handler = handler
	for ctx.Err() == nil {
		delay := i.listOrWatch(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(delay):
		}
	}
}

// listOrWatch lists once, or watches until the watch ends. It returns the delay before the next call.
func (i *Informer[V]) listOrWatch(ctx context.Context) time.Duration {
	if i.version == "" {
		if err := i.relist(ctx); err != nil {
			return i.fail(ctx, "list", err)
		}
		return 0
	}
	duration, err := i.watch(ctx)
	short := duration < shortWatch
	if !short {
		i.shortWatches = 0
	}
	if err == nil || !short {
		i.failures = 0
	}
	switch {
	case err != nil:
		return i.fail(ctx, "watch", err)
	case short:
		i.shortWatches++
		i.logShortWatch()
		return wait.Jitter(min(time.Duration(i.shortWatches)*watchDelay, maxWatchDelay), 0.4)
	}
	return 0
}

func (i *Informer[V]) logShortWatch() {
	if i.shortWatches < manyShortWatches || time.Since(i.logged) < logInterval {
		return
	}
	i.logged = time.Now()
	i.options.Log.Warn().Str("watch", i.options.What).Int("closes", i.shortWatches).
		Msg("watch closes within a second, again and again; changes are seen up to a second late; " +
			"check the timeout of the proxy or load balancer before the API server")
}

// fail records an error and returns the delay before the next list. An error of a watch may be due to the
// version, so the watch is not opened again without a list.
func (i *Informer[V]) fail(ctx context.Context, verb string, err error) time.Duration {
	i.version = ""
	if ctx.Err() != nil {
		return 0
	}
	i.failures++
	expired := apierrors.IsResourceExpired(err) || apierrors.IsGone(err)
	if verb == "list" || i.failures > 1 || !expired { // a watch may expire in normal operation
		i.setFailure(i.describe(verb, err))
	}
	delay := wait.Jitter(min(retryDelay<<min(i.failures-1, 10), maxRetryDelay), 1)
	if seconds, ok := apierrors.SuggestsClientDelay(err); ok {
		delay = max(delay, min(time.Duration(seconds)*time.Second, maxRetryAfter))
	}
	return delay
}

func (i *Informer[V]) describe(verb string, err error) failure {
	err = Explain(err, i.options.Grant)
	return failure{verb, err.Error(), fmt.Errorf("cannot %s %s: %w", verb, i.options.What, err)}
}

// succeed clears a failure of this verb. A list may succeed while watches fail.
func (i *Informer[V]) succeed(verb string) {
	if i.failure.verb == verb {
		i.setFailure(failure{})
	}
}

// setFailure replaces the failure. A list and a watch that fail for the same cause are one failure. Only Run
// writes the field, so it needs the lock for writing only.
func (i *Informer[V]) setFailure(next failure) {
	before := i.failure
	i.mu.Lock()
	i.failure = next
	i.mu.Unlock()
	if before.cause != next.cause || (before.err == nil) != (next.err == nil) {
		i.handler.Failed(next.err)
	}
}
