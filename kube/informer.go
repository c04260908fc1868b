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
	// answerTimeout limits a list and the opening of a watch.
	answerTimeout = 30 * time.Second
	// watchTimeout is how long the API server is asked to keep a watch open: this long to twice as
	// long. A watch that is open for watchGrace longer is dead.
	watchTimeout = 5 * time.Minute
	watchGrace   = 30 * time.Second
	// shortWatch is how long a watch has to live for the next one to be opened at once.
	shortWatch = time.Second
	// manyCloses is how many short watches in a row are logged, every logInterval.
	manyCloses  = 10
	logInterval = 10 * time.Minute
	// longestDelay limits the delay that an API server can ask for.
	longestDelay = time.Minute
)

// failureBackoff is the delay after a failure: 0.5 to 1 s at first, which is long enough for the
// owner to see the error, and 30 to 60 s in the end.
func failureBackoff() wait.Backoff {
	return wait.Backoff{Duration: 500 * time.Millisecond, Factor: 2, Steps: 10, Cap: 30 * time.Second, Jitter: 1}
}

// closeBackoff is the delay after a short watch. An edit is seen no later than that.
func closeBackoff() wait.Backoff {
	return wait.Backoff{Duration: 50 * time.Millisecond, Factor: 2, Steps: 6, Cap: 700 * time.Millisecond, Jitter: 0.4}
}

// The verbs of the calls, as in RBAC rules. Each error names one.
const (
	verbList  = "list"
	verbWatch = "watch"
)

// ListerWatcher lists and watches one resource. It must be safe for concurrent use.
type ListerWatcher[L List] interface {
	List(ctx context.Context, options metav1.ListOptions) (L, error)
	Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error)
}

// Options are the parts of an Informer.
type Options[V any] struct {
	// What names the objects in errors, such as `configmaps in namespace sidecars`.
	What string
	// Grant names the RBAC rule that allows list and watch.
	Grant string
	// LabelSelector and FieldSelector choose objects on the server; empty for all.
	LabelSelector, FieldSelector string
	// Keep returns what is kept of an object. It is false for an object of another type.
	Keep func(runtime.Object) (V, bool)
	Log  zerolog.Logger
}

// Handler is called by Run from one goroutine. Its functions must not block.
type Handler struct {
	// Changed is called after an object changed, with its name, and after a list, with an empty name.
	Changed func(name string)
	// Failed is called when the error of the API server changes; nil means that it works again.
	Failed func(error)
}

// Informer keeps a copy of the objects of one resource, by name. Make it with NewInformer. All
// methods are safe for concurrent use; Run is called once.
//
// It is used instead of client-go's Reflector, which lists again after up to 30 seconds if a watch
// ends early, does not report a list that fails with 410, and takes an answer without a kind for an
// empty list. While the API server fails, the copy stays as it is.
type Informer[V any] struct {
	// Timeout limits a list and the opening of a watch. It may be set before Run.
	Timeout time.Duration

	options Options[V]
	lister  func(ctx context.Context, options metav1.ListOptions) (List, error)
	watcher func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error)

	// These belong to Run.
	version          string // to watch from; empty if a list has to come first
	failures, closes wait.Backoff
	failed           int // failures since the latest good watch
	closed           int // short watches in a row
	logged           time.Time

	mu      sync.RWMutex
	objects map[string]V // nil before the first list
	failure *failure     // nil if the API server works
}

// failure is the latest error of a call.
type failure struct {
	verb  string
	cause error
}

// NewInformer returns an informer that sends no request before Run.
func NewInformer[L List, V any](client ListerWatcher[L], options Options[V]) *Informer[V] {
	return &Informer[V]{
		Timeout: answerTimeout, options: options, failures: failureBackoff(), closes: closeBackoff(), watcher: client.Watch,
		lister: func(ctx context.Context, options metav1.ListOptions) (List, error) { return client.List(ctx, options) },
	}
}

// Get returns what is kept of the object of a name.
func (i *Informer[V]) Get(name string) (kept V, found bool) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	kept, found = i.objects[name]
	return kept, found
}

// All returns what is kept of all objects, in no order.
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
	if i.failure == nil {
		return nil
	}
	return i.describe(i.failure.verb, i.failure.cause)
}

func (i *Informer[V]) describe(verb string, cause error) error {
	return fmt.Errorf("cannot %s %s: %w", verb, i.options.What, cause)
}

// Run keeps the copy equal to what the API server has, until ctx ends.
func (i *Informer[V]) Run(ctx context.Context, handler Handler) {
	for ctx.Err() == nil {
		delay := i.step(ctx, handler)
		select {
		case <-ctx.Done():
		case <-time.After(delay):
		}
	}
}

// step lists, or watches until the watch ends. It returns the delay before the next step.
func (i *Informer[V]) step(ctx context.Context, handler Handler) time.Duration {
	if i.version == "" {
		if err := i.relist(ctx, handler); err != nil {
			return i.fail(ctx, handler, verbList, err)
		}
		return 0
	}
	life, err := i.follow(ctx, handler)
	if err == nil || life >= shortWatch {
		i.failed, i.failures = 0, failureBackoff()
	}
	if life >= shortWatch {
		i.closed, i.closes = 0, closeBackoff()
	}
	switch {
	case err != nil:
		return i.fail(ctx, handler, verbWatch, err)
	case life >= shortWatch:
		return 0
	}
	i.logCloses()
	return i.closes.Step()
}

// logCloses logs watches that end early, which delays edits.
func (i *Informer[V]) logCloses() {
	i.closed++
	if i.closed < manyCloses || time.Since(i.logged) < logInterval {
		return
	}
	i.logged = time.Now()
	i.options.Log.Warn().Str("watch", i.options.What).Int("closes", i.closed).
		Msg("watch closes within a second, again and again; changes are seen up to a second late; " +
			"check the timeout of the proxy or load balancer before the API server")
}

// fail notes an error. The next step is a list, because the error may be due to the version.
func (i *Informer[V]) fail(ctx context.Context, handler Handler, verb string, err error) time.Duration {
	i.version = ""
	if ctx.Err() != nil {
		return 0
	}
	i.failed++
	// A watch expires in normal operation, too.
	if verb == verbList || i.failed > 1 || !isExpired(err) {
		i.note(handler, &failure{verb, Explain(err, i.options.Grant)})
	}
	delay := i.failures.Step()
	if seconds, ok := apierrors.SuggestsClientDelay(err); ok {
		delay = max(delay, min(time.Duration(seconds)*time.Second, longestDelay))
	}
	return delay
}

// note replaces the failure. A list and a watch that fail for the same cause are one failure.
func (i *Informer[V]) note(handler Handler, next *failure) {
	i.mu.Lock()
	before := i.failure
	i.failure = next
	i.mu.Unlock()
	switch {
	case next == nil && before == nil:
	case next == nil:
		handler.Failed(nil)
	case before == nil || before.cause.Error() != next.cause.Error():
		handler.Failed(i.describe(next.verb, next.cause))
	}
}

// succeed clears a failure of this verb. A list that succeeds says nothing about watches.
func (i *Informer[V]) succeed(handler Handler, verb string) {
	i.mu.RLock()
	other := i.failure != nil && i.failure.verb != verb
	i.mu.RUnlock()
	if !other {
		i.note(handler, nil)
	}
}
