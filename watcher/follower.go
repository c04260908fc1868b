package watcher

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
)

const (
	// listTimeout is how long the API server may take to list the ConfigMaps.
	listTimeout = 30 * time.Second
	// watchGrace is how long after the time that the informer asked for the API server may take
	// to end a watch.
	watchGrace = 30 * time.Second
)

var errSilent = errors.New("no answer came in time")

// follower asks the API server on behalf of an informer, and reports how each call went.
type follower struct {
	client    corev1client.ConfigMapInterface
	namespace string
	selector  string
	timeout   time.Duration // of a list
	report    func(error)
}

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
	options.LabelSelector = f.selector
	list, err := f.client.List(ctx, options)
	if err != nil {
		f.failed(ctx, "list", err)
		return nil, err
	}
	return list, nil
}

// watch reports that all is well, as nothing is missed from here on.
func (f *follower) watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	options.LabelSelector = f.selector
	limit := watchGrace
	if options.TimeoutSeconds != nil {
		limit += time.Duration(*options.TimeoutSeconds) * time.Second
	}
	// The context is that of the stream, too, and its time frees it.
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errSilent)
	stream, err := f.client.Watch(ctx, options)
	if err != nil {
		f.failed(ctx, "watch", err)
		cancel()
		return nil, err
	}
	f.report(nil)
	return stopping{stream, cancel}, nil
}

// stopping is a watch that has something to free.
type stopping struct {
	watch.Interface
	free context.CancelFunc
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
	f.report(fmt.Errorf("cannot %s configmaps in namespace %s: %w", verb, f.namespace, explained(err)))
}

// explained leaves out the URL, which has a random number in it, and says what to do.
func explained(err error) error {
	if transport, ok := errors.AsType[*url.Error](err); ok {
		err = transport.Err
	}
	switch {
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w: grant it with a Role that has the verbs list and watch", err)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("%w: the API server does not accept our token or client certificate", err)
	}
	return err
}
