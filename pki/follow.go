package pki

import (
	"context"
	"fmt"
	"sync"

	"github.com/rs/zerolog"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// follower is what following an object takes.
type follower[L runtime.Object] interface {
	List(ctx context.Context, options metav1.ListOptions) (L, error)
	Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error)
}

// client is what keeping an object takes; the clients that client-go generates have it. It must be
// safe for concurrent use.
type client[T, L runtime.Object] interface {
	follower[L]
	Patch(ctx context.Context, name string, kind types.PatchType, patch []byte, options metav1.PatchOptions, subresources ...string) (T, error)
}

// The clients that a Keeper needs.
type (
	// SecretClient is of the Secrets of one namespace.
	SecretClient interface {
		client[*corev1.Secret, *corev1.SecretList]
		Update(ctx context.Context, secret *corev1.Secret, options metav1.UpdateOptions) (*corev1.Secret, error)
	}
	// MutatingClient is of mutating webhook configurations.
	MutatingClient client[*admissionregistrationv1.MutatingWebhookConfiguration, *admissionregistrationv1.MutatingWebhookConfigurationList]
	// ValidatingClient is of validating webhook configurations.
	ValidatingClient client[*admissionregistrationv1.ValidatingWebhookConfiguration, *admissionregistrationv1.ValidatingWebhookConfigurationList]
)

// followed is an object that an informer keeps, chosen by its name on the server, so that a right
// to that one object suffices.
type followed struct {
	what     string // kind and name, for people
	name     string
	informer cache.SharedIndexInformer
	log      zerolog.Logger

	mu      sync.Mutex
	failure error
}

// plain has the informer list, rather than stream the list (KEP 3157): any API server can do that.
type plain struct {
	*cache.ListWatch
}

// IsWatchListSemanticsUnSupported is what client-go looks for.
func (plain) IsWatchListSemanticsUnSupported() bool { return true }

func follow[L runtime.Object](what, name string, c follower[L], example runtime.Object, log zerolog.Logger) *followed {
	f := &followed{what: what, name: name, log: log}
	selector := fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
	f.informer = cache.NewSharedIndexInformer(plain{&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			options.FieldSelector = selector
			list, err := c.List(ctx, options)
			f.report(ctx, "list", err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.FieldSelector = selector
			stream, err := c.Watch(ctx, options)
			f.report(ctx, "watch", err)
			return stream, err
		},
	}}, example, 0, nil)
	return f
}

// handle has changed called after each change. It comes before the informer runs.
func (f *followed) handle(changed func()) error {
	// What goes wrong was reported where it happened.
	if err := f.informer.SetWatchErrorHandlerWithContext(func(context.Context, *cache.Reflector, error) {}); err != nil {
		return err
	}
	_, err := f.informer.AddEventHandler(cache.ResourceEventHandlerDetailedFuncs{
		AddFunc:    func(any, bool) { changed() },
		UpdateFunc: func(any, any) { changed() },
		DeleteFunc: func(any) { changed() },
	})
	return err
}

// object is what the informer holds, nil if there is none.
func (f *followed) object() any {
	for _, object := range f.informer.GetStore().List() {
		if meta, ok := object.(metav1.Object); ok && meta.GetName() == f.name {
			return object
		}
	}
	return nil
}

// report takes how a call went, and logs what is new. That a version has expired only makes the
// informer list again.
func (f *followed) report(ctx context.Context, verb string, err error) {
	if ctx.Err() != nil || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return
	}
	if err != nil {
		err = fmt.Errorf("cannot %s %s: %w", verb, f.what, explained(err))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.failure
	f.failure = err
	switch {
	case err != nil && (before == nil || before.Error() != err.Error()):
		f.log.Error().Err(err).Msg("certificates cannot be followed: what is served stays until this is mended")
	case err == nil && before != nil:
		f.log.Info().Str("object", f.what).Msg("certificates can be followed again")
	}
}

// trouble is why the object cannot be followed now, nil if it can.
func (f *followed) trouble() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failure
}

// troubled tells that what the informer holds may be old.
func (f *followed) troubled() bool { return f.trouble() != nil }
