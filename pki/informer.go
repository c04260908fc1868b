package pki

import (
	"context"

	"github.com/rs/zerolog"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"

	"k8s-sidecar-injector/kube"
)

// Client is a client of one resource. It must be safe for concurrent use.
type Client[T kube.Object, L kube.List] interface {
	kube.ListerWatcher[L]
	Update(ctx context.Context, object T, options metav1.UpdateOptions) (T, error)
	Patch(
		ctx context.Context, name string, kind types.PatchType, patch []byte,
		options metav1.PatchOptions, subresources ...string,
	) (T, error)
}

// informer is a kube.Informer of any object.
type informer interface {
	String() string
	Run(ctx context.Context, handler kube.Handler)
	Err() error
}

// newInformer returns an informer of the object with this name. A field selector selects it, so that resourceNames
// can restrict the RBAC rule.
func newInformer[T kube.Object, L kube.List, V any](
	client kube.ListerWatcher[L], what, name string, keep func(T) V, log zerolog.Logger,
) *kube.Informer[V] {
	return kube.NewInformer(client, keep, kube.Options{
		What: what, Grant: grant, Log: log,
		FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, name).String(),
	})
}

// logFailure logs that an informer fails or, with a nil error, works again.
func (c *Controller) logFailure(i informer, err error) {
	if err != nil {
		c.options.Log.Error().Err(err).Msg("cannot watch certificates; any certificate in service stays")
		return
	}
	c.options.Log.Info().Stringer("object", i).Msg("certificates are watched again")
}
