package watcher

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

const (
	// answerTimeout is how long the API server may take to list, and to open a watch.
	answerTimeout = 30 * time.Second
	// watchGrace is how long after the time that the informer asked for the API server may take
	// to end a watch.
	watchGrace = 30 * time.Second
)

var errSilent = errors.New("no answer came in time")

// follower asks the API server on behalf of an informer, and reports how it goes.
type follower struct {
	lister   func(ctx context.Context, options metav1.ListOptions) (apiList, error)
	watcher  func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error)
	followed followed
	selector string        // empty for all
	timeout  time.Duration // of an answer
	report   func(verb string, err error)
}

// followed is what a follower asks for, in the words of its errors.
type followed struct {
	kind  string // of the objects, such as ConfigMaps
	what  string // the resource and where it is, such as configmaps in namespace sidecars
	grant string // what gives the right to them
}

// apiList is a list of objects of the API.
type apiList interface {
	runtime.Object
	metav1.ListInterface
}

// lists is the List of a client.
func lists[L apiList](of func(context.Context, metav1.ListOptions) (L, error)) func(context.Context, metav1.ListOptions) (apiList, error) {
	return func(ctx context.Context, options metav1.ListOptions) (apiList, error) { return of(ctx, options) }
}

// The calls that are reported of. Each succeeds or fails by itself: what may be listed need not be
// watched.
const (
	verbList  = "list"
	verbWatch = "watch"
	verbGet   = "get"
)

// listWatch is how the informer asks. It lists, rather than streams the list: any API server can do
// that, and a call that gets no answer can be told from a watch on which nothing happens.
func (f *follower) listWatch() cache.ListerWatcher {
	return plain{&cache.ListWatch{ListWithContextFunc: f.list, WatchFuncWithContext: f.watch}}
}

// plain tells the informer not to ask for streaming lists (KEP 3157).
type plain struct {
	*cache.ListWatch
}

// IsWatchListSemanticsUnSupported is what client-go looks for.
func (plain) IsWatchListSemanticsUnSupported() bool { return true }

func (f *follower) list(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, f.timeout, errSilent)
	defer cancel()
	list, err := f.ask(ctx, options)
	if err != nil {
		f.failed(ctx, verbList, err)
		return nil, err
	}
	f.report(verbList, nil)
	return list, nil
}

// once lists on behalf of nobody but the caller, in no more time than an informer gives. The error
// is for the user.
func (f *follower) once(ctx context.Context) (runtime.Object, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, f.timeout, errSilent)
	defer cancel()
	list, err := f.ask(ctx, metav1.ListOptions{})
	switch {
	case err == nil:
		return list, nil
	case errors.Is(context.Cause(ctx), errSilent):
		err = errSilent
	}
	return nil, f.followed.cannot(verbList, f.followed.what, err)
}

func (f *follower) ask(ctx context.Context, options metav1.ListOptions) (apiList, error) {
	options.LabelSelector = f.selector
	list, err := f.lister(ctx, options)
	if runtime.IsNotRegisteredError(err) || (err == nil && list.GetResourceVersion() == "") {
		// Any JSON object without a kind decodes as an empty list.
		return nil, fmt.Errorf("the answer is no list of %s: is this an API server?", f.followed.kind)
	}
	return list, err
}

// watch opens a watch. Nothing is missed from here on, until it ends.
func (f *follower) watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	options.LabelSelector = f.selector
	limit := watchGrace
	if options.TimeoutSeconds != nil {
		limit += time.Duration(*options.TimeoutSeconds) * time.Second
	}
	// The context is that of the stream, too, and its end frees it.
	ctx, end := context.WithCancelCause(ctx)
	silence := func() { end(errSilent) }
	opening := time.AfterFunc(f.timeout, silence)
	stream, err := f.watcher(ctx, options)
	opening.Stop()
	if err != nil {
		f.failed(ctx, verbWatch, err)
		end(nil)
		return nil, err
	}
	f.report(verbWatch, nil)
	over := time.AfterFunc(limit, silence)
	watched := watch.Filter(stream, func(event watch.Event) (watch.Event, bool) {
		if event.Type == watch.Error {
			f.failed(ctx, verbWatch, apierrors.FromObject(event.Object))
		}
		return event, true
	})
	return stopping{watched, func() {
		over.Stop()
		end(nil)
	}}, nil
}

// stopping is a watch that has something to free.
type stopping struct {
	watch.Interface
	free func()
}

// Stop implements watch.Interface.
func (s stopping) Stop() {
	s.Interface.Stop()
	s.free()
}

// failed reports an error unless it only says that we stop, or that the informer has to list
// again, which it does at once.
func (f *follower) failed(ctx context.Context, verb string, err error) {
	silent := errors.Is(context.Cause(ctx), errSilent)
	switch {
	case silent:
		err = errSilent
	case ctx.Err() != nil, apierrors.IsResourceExpired(err), apierrors.IsGone(err):
		return
	}
	f.report(verb, f.followed.cannot(verb, f.followed.what, err))
}

// cannot is the error of a call.
func (f followed) cannot(verb, what string, err error) error {
	return fmt.Errorf("cannot %s %s: %w", verb, what, explained(err, f.grant))
}

// explained leaves out what differs each time, such as the URL, which has a random number in it,
// and our port; and it says what to do.
func explained(err error, grant string) error {
	if transport, ok := errors.AsType[*url.Error](err); ok {
		err = transport.Err
	}
	if connection, ok := errors.AsType[*net.OpError](err); ok {
		stable := *connection
		stable.Source = nil
		err = &stable
	}
	switch {
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w: grant it with %s", err, grant)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("%w: the API server does not accept our token or client certificate", err)
	}
	return err
}
