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
	// the watch after its timeout. If the watch is still open after watchGrace more, the connection is dead.
	watchTimeout = 5 * time.Minute
	watchGrace   = 30 * time.Second
	// shortWatch is the duration below which a watch is short. A delay follows each short watch.
	shortWatch = time.Second
	// manyShortWatches in a row are logged, at most once in logInterval.
	manyShortWatches = 10
	logInterval      = 10 * time.Minute
	// maxRetryAfter limits the delay that an API server can request.
	maxRetryAfter = time.Minute
	// retryDelay is the delay after the first failure. It doubles with each failure, up to maxRetryDelay, and
	// jitter adds up to 100 %. It is long enough for the caller to report the error before the next attempt.
	retryDelay    = 500 * time.Millisecond
	maxRetryDelay = 30 * time.Second
	// watchDelay, times the number of short watches in a row, is the delay after a short watch, up to
	// maxWatchDelay. Events arrive later by as much.
	watchDelay    = 50 * time.Millisecond
	maxWatchDelay = 700 * time.Millisecond
)

// ListerWatcher lists and watches one resource. It must be safe for concurrent use.
type ListerWatcher[L List] interface {
	List(ctx context.Context, options metav1.ListOptions) (L, error)
	Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error)
}

// Options configure an Informer.
type Options struct {
	// What names the objects in errors, such as `configmaps in namespace sidecars`.
	What string
	// Grant names the RBAC rule that allows list and watch.
	Grant string
	// LabelSelector and FieldSelector filter the objects in the API server; empty for all.
	LabelSelector, FieldSelector string
	Log                          zerolog.Logger
}

// Handler has callbacks. Run calls them from one goroutine, so they must not block.
type Handler struct {
	// Changed is called with the name of an object that was added, changed or deleted, and with an empty name
	// after a list.
	Changed func(name string)
	// Failed is called when the cause of a failure changes, and with nil when requests succeed again.
	Failed func(error)
}

// Informer caches a part of each object of one resource, by name. While the API server fails, the cache stays.
// Make it with NewInformer. All methods are safe for concurrent use; Run is called once.
//
// client-go's Reflector is not used, because it may wait up to 30 seconds before it lists again if a watch ends
// early, does not report a list that fails with 410, and decodes a response without a kind as an empty list.
type Informer[V any] struct {
	options Options
	// These functions hide the types of the object and the list.
	requestList  func(context.Context, metav1.ListOptions) (List, error)
	requestWatch func(context.Context, metav1.ListOptions) (watch.Interface, error)
	keep         func(runtime.Object) (metadata metav1.Object, kept V, err error)

	// These belong to Run.
	handler      Handler
	version      string    // the resourceVersion to watch from; empty if a list is required first
	failures     int       // in a row; a list alone does not end the row
	shortWatches int       // in a row
	logged       time.Time // when short watches were logged

	mu      sync.RWMutex
	objects map[string]V // nil before the first list
	failure failure      // of the latest request; zero if the API server works
}

// failure is the error of a request.
type failure struct {
	verb, cause string
	err         error
}

// NewInformer returns an informer. It sends no request before Run or List. keep returns the part of an object that
// is cached.
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
				return nil, kept, errUnexpectedObject
			}
			return typed, keep(typed), nil
		},
	}
}

// String returns Options.What.
func (i *Informer[V]) String() string { return i.options.What }

// Get returns the cached object with this name.
func (i *Informer[V]) Get(name string) (object V, found bool) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	object, found = i.objects[name]
	return object, found
}

// All returns all cached objects, in no order.
func (i *Informer[V]) All() []V {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return slices.Collect(maps.Values(i.objects))
}

// HasSynced reports whether a list has succeeded.
func (i *Informer[V]) HasSynced() bool {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.objects != nil
}

// Err returns why the latest list or watch failed, nil if requests succeed.
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
		Msg("watch is repeatedly closed within a second; changes arrive up to a second late; " +
			"check the timeouts of proxies and load balancers in front of the API server")
}

// fail records an error and returns the delay before the next list. A failed watch also requires a list, because
// its resourceVersion may be the cause.
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

// succeed clears the failure if it has this verb: lists may succeed while watches fail.
func (i *Informer[V]) succeed(verb string) {
	if i.failure.verb == verb {
		i.setFailure(failure{})
	}
}

// setFailure replaces the failure, and reports it if the cause differs. A list and a watch with the same cause are
// one failure. Reading the field needs no lock here, because only Run writes it.
func (i *Informer[V]) setFailure(next failure) {
	before := i.failure
	i.mu.Lock()
	i.failure = next
	i.mu.Unlock()
	if before.cause != next.cause || (before.err == nil) != (next.err == nil) {
		i.handler.Failed(next.err)
	}
}
