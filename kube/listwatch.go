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

// List lists the objects once, within 30 seconds, and keeps nothing.
func (i *Informer[V]) List(ctx context.Context) ([]V, error) {
	_, objects, err := i.list(ctx)
	if err != nil {
		return nil, i.describe(verbList, Explain(err, i.options.Grant))
	}
	return slices.Collect(maps.Values(objects)), nil
}

// list requests the latest version, never a cached or expired one.
func (i *Informer[V]) list(ctx context.Context) (version string, objects map[string]V, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, requestTimeout, ErrTimeout)
	defer cancel()
	list, err := i.lister(ctx, i.selectors())
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

func (i *Informer[V]) selectors() metav1.ListOptions {
	return metav1.ListOptions{LabelSelector: i.options.LabelSelector, FieldSelector: i.options.FieldSelector}
}

// keep returns the name, the version and the part to keep of an object.
func (i *Informer[V]) keep(object runtime.Object) (name, version string, kept V, err error) {
	kept, ok := i.options.Keep(object)
	accessor, err := meta.Accessor(object)
	if !ok || err != nil {
		return "", "", kept, errNoObject
	}
	return accessor.GetName(), accessor.GetResourceVersion(), kept, nil
}

// relist replaces all objects.
func (i *Informer[V]) relist(ctx context.Context) error {
	version, objects, err := i.list(ctx)
	if err != nil {
		return err
	}
	i.version = version
	i.mu.Lock()
	i.objects = objects
	i.mu.Unlock()
	i.succeed(verbList)
	i.handler.Changed("")
	return nil
}

// watch opens a watch and applies its events until it ends. It returns how long the watch was open.
func (i *Informer[V]) watch(ctx context.Context) (duration time.Duration, err error) {
	timeout := watchTimeout + rand.N(watchTimeout) //nolint:gosec // spreads load
	options := i.selectors()
	options.ResourceVersion = i.version
	options.AllowWatchBookmarks = true
	options.TimeoutSeconds = new(int64(timeout.Seconds()))
	ctx, cancel := context.WithCancelCause(ctx) // also the context of the stream
	defer cancel(nil)
	timer := time.AfterFunc(requestTimeout, func() { cancel(ErrTimeout) })
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
	i.succeed(verbWatch)
	opened := time.Now()
	err = i.applyAll(ctx, stream)
	return time.Since(opened), timedOut(ctx, err)
}

// applyAll applies the events of a watch until it ends.
func (i *Informer[V]) applyAll(ctx context.Context, stream watch.Interface) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event, ok := <-stream.ResultChan():
			if !ok {
				return ctx.Err()
			}
			if err := i.apply(event); err != nil {
				return err
			}
		}
	}
}

func (i *Informer[V]) apply(event watch.Event) error {
	if event.Type == watch.Error {
		return apierrors.FromObject(event.Object)
	}
	name, version, kept, err := i.keep(event.Object)
	switch {
	case err != nil:
		return err
	case version == "":
		return errNoObject
	}
	i.version = version
	if event.Type == watch.Bookmark {
		return nil
	}
	i.mu.Lock()
	if event.Type == watch.Deleted {
		delete(i.objects, name)
	} else {
		i.objects[name] = kept
	}
	i.mu.Unlock()
	i.handler.Changed(name)
	return nil
}
