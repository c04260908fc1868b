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

// List lists the objects without caching them. The request has a timeout of 30 seconds.
func (i *Informer[V]) List(ctx context.Context) ([]V, error) {
	_, objects, err := i.list(ctx)
	if err != nil {
		return nil, i.describe("list", err).err
	}
	return slices.Collect(maps.Values(objects)), nil
}

// list sets no resourceVersion, so that the API server returns the latest objects and the version cannot expire.
func (i *Informer[V]) list(ctx context.Context) (version string, objects map[string]V, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, requestTimeout, ErrTimeout)
	defer cancel()
	list, err := i.requestList(ctx, i.selectors())
	switch {
	case err != nil && !IsForeign(err):
		return "", nil, timedOut(ctx, err)
	case err != nil, list.GetResourceVersion() == "": // client-go decodes an object of any kind as an empty list
		return "", nil, errNotList
	}
	objects = make(map[string]V)
	err = meta.EachListItem(list, func(object runtime.Object) error {
		metadata, kept, err := i.keep(object)
		if err == nil {
			objects[metadata.GetName()] = kept
		}
		return err
	})
	return list.GetResourceVersion(), objects, err
}

func (i *Informer[V]) selectors() metav1.ListOptions {
	return metav1.ListOptions{LabelSelector: i.options.LabelSelector, FieldSelector: i.options.FieldSelector}
}

// relist replaces the cache.
func (i *Informer[V]) relist(ctx context.Context) error {
	version, objects, err := i.list(ctx)
	if err != nil {
		return err
	}
	i.version = version
	i.mu.Lock()
	i.objects = objects
	i.mu.Unlock()
	i.succeed("list")
	i.handler.Changed("")
	return nil
}

// watch opens a watch and applies its events until the watch ends. It returns how long the watch was open.
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
	stream, err := i.requestWatch(ctx, options)
	if err != nil {
		return 0, timedOut(ctx, err)
	}
	context.AfterFunc(ctx, stream.Stop)
	if reflect.TypeOf(stream) == reflect.TypeOf(watch.NewEmptyWatch()) {
		return 0, timedOut(ctx, errClosed) // client-go returns an empty watch instead of this error
	}
	timer.Reset(timeout + watchGrace)
	i.succeed("watch")
	opened := time.Now()
	for event := range stream.ResultChan() {
		if err := i.apply(event); err != nil {
			return time.Since(opened), timedOut(ctx, err)
		}
	}
	return time.Since(opened), timedOut(ctx, ctx.Err())
}

func (i *Informer[V]) apply(event watch.Event) error {
	if event.Type == watch.Error {
		return apierrors.FromObject(event.Object)
	}
	metadata, kept, err := i.keep(event.Object)
	switch {
	case err != nil:
		return err
	case metadata.GetResourceVersion() == "":
		return errUnexpectedObject
	}
	i.version = metadata.GetResourceVersion()
	if event.Type == watch.Bookmark {
		return nil
	}
	i.mu.Lock()
	if event.Type == watch.Deleted {
		delete(i.objects, metadata.GetName())
	} else {
		i.objects[metadata.GetName()] = kept
	}
	i.mu.Unlock()
	i.handler.Changed(metadata.GetName())
	return nil
}
