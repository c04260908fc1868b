package pki

import (
	"context"

	"github.com/rs/zerolog"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"k8s-sidecar-injector/kube"
)

// client is a client of one kind of objects; the clients that client-go generates implement it. It
// must be safe for concurrent use.
type client[T runtime.Object, L kube.List] interface {
	kube.ListerWatcher[L]
	Patch(
		ctx context.Context, name string, kind types.PatchType, patch []byte, options metav1.PatchOptions, subresources ...string,
	) (T, error)
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

// followed is one object, which the API server chooses by its name: a right to that object suffices.
type followed struct {
	what     string // kind and name, for people
	name     string
	informer *kube.Informer[runtime.Object]
	log      zerolog.Logger
}

// follow returns an object that is not followed before run. It is of type T.
func follow[T runtime.Object, L kube.List](what, name string, c client[T, L], log zerolog.Logger) *followed {
	return &followed{what: what, name: name, log: log, informer: kube.NewInformer(c, kube.Options[runtime.Object]{
		What: what, Grant: grant, Log: log,
		FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, name).String(),
		Keep: func(object runtime.Object) (runtime.Object, bool) {
			_, ok := object.(T)
			return object, ok
		},
	})}
}

// run follows the object until ctx ends. It calls changed after each change.
func (f *followed) run(ctx context.Context, changed func()) {
	f.informer.Run(ctx, kube.Handler{Changed: func(string) { changed() }, Failed: f.report})
}

// object returns the object, nil if there is none.
func (f *followed) object() any {
	if object, found := f.informer.Get(f.name); found {
		return object
	}
	return nil
}

// report logs a change of the error of the API server.
func (f *followed) report(err error) {
	if err != nil {
		f.log.Error().Err(err).Msg("certificates cannot be followed: what is served stays until this is mended")
		return
	}
	f.log.Info().Str("object", f.what).Msg("certificates can be followed again")
}

// troubled reports whether the object may be old, because it cannot be followed.
func (f *followed) troubled() bool { return f.informer.Err() != nil }
