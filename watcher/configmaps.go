package watcher

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/rs/zerolog"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/kube"
)

// ConfigMaps is the source of the definitions in the ConfigMaps of one namespace that a label
// selector matches. Make it with NewConfigMaps. All methods are safe for concurrent use, but
// Run is called once.
//
// While the API server fails, Documents returns the reason.
type ConfigMaps struct {
	namespace string
	selector  labels.Selector
	log       zerolog.Logger
	informer  *kube.Informer[[]conf.Document]
}

// ConfigMapClient is the client of the ConfigMaps of one namespace, as far as they are followed. It
// must be safe for concurrent use.
type ConfigMapClient interface {
	List(ctx context.Context, options metav1.ListOptions) (*corev1.ConfigMapList, error)
	Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error)
}

// NewConfigMaps returns a source that sends no request before Run. The client is that of the
// ConfigMaps of the namespace. The selector must match something: labels.Nothing is not the way
// to turn the source off.
func NewConfigMaps(client ConfigMapClient, namespace string, selector labels.Selector, log zerolog.Logger) *ConfigMaps {
	informer := kube.NewInformer(client, kube.Options[[]conf.Document]{
		What:          "configmaps in namespace " + namespace,
		Grant:         "a Role that has the verbs list and watch",
		LabelSelector: selector.String(),
		Keep:          documentsOf,
		Log:           log,
	})
	return &ConfigMaps{namespace: namespace, selector: selector, log: log, informer: informer}
}

// String gives `configmaps sidecars (app=k8s-sidecar-injector)`.
func (c *ConfigMaps) String() string {
	return fmt.Sprintf("configmaps %s (%s)", c.namespace, c.selector)
}

// Selects tells whether a ConfigMap of that namespace and labels is one of the source.
func (c *ConfigMaps) Selects(configMap *corev1.ConfigMap) bool {
	return configMap.Namespace == c.namespace && c.selector.Matches(labels.Set(configMap.Labels))
}

// Documents returns the documents of all ConfigMaps. Before the first list, the error is
// ErrNotSynced, or the reason why the list failed.
func (c *ConfigMaps) Documents(context.Context) ([]conf.Document, error) {
	if trouble := c.Trouble(); trouble != nil {
		return nil, trouble
	}
	return slices.Concat(c.informer.All()...), nil
}

// Once lists the documents without Run, in 30 seconds at most, and keeps nothing.
func (c *ConfigMaps) Once(ctx context.Context) ([]conf.Document, error) {
	documents, err := c.informer.List(ctx)
	return slices.Concat(documents...), err
}

// Trouble returns why the ConfigMaps cannot be followed now. Before the first list it is
// ErrNotSynced, or the reason why the list failed; nil means that all is well.
func (c *ConfigMaps) Trouble() error {
	if err := c.informer.Err(); err != nil {
		return err
	}
	if !c.informer.HasSynced() {
		return ErrNotSynced
	}
	return nil
}

// Run follows the API server until ctx ends, and then returns nil.
func (c *ConfigMaps) Run(ctx context.Context, changed func()) error {
	var first sync.Once
	c.informer.Run(ctx, kube.Handler{
		Changed: func(string) {
			first.Do(c.warnIfEmpty)
			changed()
		},
		Failed: func(error) { changed() },
	})
	return nil
}

// warnIfEmpty logs a first list without ConfigMaps.
func (c *ConfigMaps) warnIfEmpty() {
	if len(c.informer.All()) == 0 {
		c.log.Warn().Str("namespace", c.namespace).Stringer("labels", c.selector).
			Msg("no ConfigMap has these labels in this namespace: are both right?")
	}
}

// documentsOf returns the documents of a ConfigMap. Its metadata is often larger and is not kept.
func documentsOf(object runtime.Object) ([]conf.Document, bool) {
	configMap, ok := object.(*corev1.ConfigMap)
	if !ok {
		return nil, false
	}
	return conf.OfConfigMap(configMap), true
}
