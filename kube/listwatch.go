package kube

import (
	"context"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// List lists the objects once and keeps nothing. It takes no longer than Timeout. The error is for
// people.
func (i *Informer[V]) List(ctx context.Context) ([]V, error) {
	_, objects, err := i.list(ctx)
	if err != nil {
		return nil, i.describe(verbList, Explain(err, i.options.Grant))
	}
	return slices.Collect(maps.Values(objects)), nil
}

// list asks for the latest version, never for any or for one that may have expired.
func (i *Informer[V]) list(ctx context.Context) (version string, objects map[string]V, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, i.Timeout, ErrTimeout)
	defer cancel()
	list, err := i.lister(ctx, i.selected())
	switch {
	case IsForeign(err):
		return "", nil, errNoList
	case err != nil:
		return "", nil, timedOut(ctx, err)
	case list.GetResourceVersion() == "":
		return "", nil, errNoList // client-go decodes any object as an empty list
	}
	objects = make(map[string]V)
	err = meta.EachListItem(list, func(object runtime.Object) error {
		name, _, kept, err := i.keep(object)
		objects[name] = kept
		return err
	})
	return list.GetResourceVersion(), objects, err
}

func (i *Informer[V]) selected() metav1.ListOptions {
	return metav1.ListOptions{LabelSelector: i.options.LabelSelector, FieldSelector: i.options.FieldSelector}
}

// keep returns the name and version of an object, and what is kept of it.
func (i *Informer[V]) keep(object runtime.Object) (name, version string, kept V, err error) {
	kept, ok := i.options.Keep(object)
	accessor, err := meta.Accessor(object)
	if !ok || err != nil {
		return "", "", kept, errNoObject
	}
	return accessor.GetName(), accessor.GetResourceVersion(), kept, nil
}

func (i *Informer[V]) relist(ctx context.Context, handler Handler) error {
	version, objects, err := i.list(ctx)
	if err != nil {
		return err
	}
	i.version = version
	i.mu.Lock()
	i.objects = objects
	i.mu.Unlock()
	i.succeed(handler, verbList)
	handler.Changed("")
	return nil
}

// follow opens a watch and applies its events until it ends. It returns how long the watch was open.
func (i *Informer[V]) follow(ctx context.Context, handler Handler) (life time.Duration, err error) {
	timeout := watchTimeout + rand.N(watchTimeout) //nolint:gosec // spreads load
	options := i.selected()
	options.ResourceVersion = i.version
	options.AllowWatchBookmarks = true
	options.TimeoutSeconds = new(int64(timeout.Seconds()))
	// The context is also that of the stream.
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	timer := time.AfterFunc(i.Timeout, func() { end(ErrTimeout) })
	defer timer.Stop()
	stream, err := i.watcher(ctx, options)
	if err != nil {
		return 0, timedOut(ctx, err)
	}
	defer stream.Stop()
	if reflect.TypeOf(stream) == reflect.TypeOf(watch.NewEmptyWatch()) {
		return 0, timedOut(ctx, errBroken) // client-go hides errors of the connection
	}
	timer.Reset(timeout + watchGrace)
	i.succeed(handler, verbWatch)
	opened := time.Now()
	err = i.drain(ctx, stream, handler)
	return time.Since(opened), timedOut(ctx, err)
}

// drain applies the events of a watch until it ends.
func (i *Informer[V]) drain(ctx context.Context, stream watch.Interface, handler Handler) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event, open := <-stream.ResultChan():
			if !open {
				return ctx.Err()
			}
			if err := i.apply(event, handler); err != nil {
				return err
			}
		}
	}
}

// apply takes one event of a watch.
func (i *Informer[V]) apply(event watch.Event, handler Handler) error {
	if event.Type == watch.Error {
		return apierrors.FromObject(event.Object)
	}
	name, version, kept, err := i.keep(event.Object)
	if err == nil && version == "" {
		err = errNoObject
	}
	if err != nil {
		return err
	}
	i.mu.Lock()
	switch event.Type {
	case watch.Added, watch.Modified:
		i.objects[name] = kept
	case watch.Deleted:
		delete(i.objects, name)
	default: // bookmarks
	}
	i.mu.Unlock()
	i.version = version
	if event.Type != watch.Bookmark {
		handler.Changed(name)
	}
	return nil
}
