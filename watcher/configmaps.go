package watcher

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/rs/zerolog"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/kube"
)

// ConfigMaps is the source of the documents in the ConfigMaps of one namespace that match a label
// selector. Make it with NewConfigMaps. All methods are safe for concurrent use; Run is called once.
type ConfigMaps struct {
	namespace string
	selector  labels.Selector
	log       zerolog.Logger
	informer  *kube.Informer[[]conf.Document]
}

// ConfigMapClient is a client of the ConfigMaps of one namespace. It must be safe for concurrent use.
type ConfigMapClient = kube.ListerWatcher[*corev1.ConfigMapList]

// NewConfigMaps returns a source that sends no request before Run. The client must be for the namespace.
func NewConfigMaps(client ConfigMapClient, namespace string, selector labels.Selector, log zerolog.Logger) *ConfigMaps {
	// The metadata of a ConfigMap is often larger than its documents and is dropped.
	informer := kube.NewInformer(client, conf.OfConfigMap, kube.Options{
		What:          "configmaps in namespace " + namespace,
		Grant:         "a Role that has the verbs list and watch",
		LabelSelector: selector.String(),
		Log:           log,
	})
	return &ConfigMaps{namespace: namespace, selector: selector, log: log, informer: informer}
}

// String returns `configmaps sidecars (app=k8s-sidecar-injector)`.
func (c *ConfigMaps) String() string {
	return fmt.Sprintf("configmaps %s (%s)", c.namespace, c.selector)
}

// Selects reports whether a ConfigMap is in the namespace and matches the selector.
func (c *ConfigMaps) Selects(configMap *corev1.ConfigMap) bool {
	return configMap.Namespace == c.namespace && c.selector.Matches(labels.Set(configMap.Labels))
}

// Documents returns the documents of all ConfigMaps. The error is that of Trouble.
func (c *ConfigMaps) Documents(context.Context, *conf.Set) ([]conf.Document, error) {
	if err := c.Trouble(); err != nil {
		return nil, err
	}
	all := slices.DeleteFunc(c.informer.All(), func(documents []conf.Document) bool { return len(documents) == 0 })
	slices.SortFunc(all, func(a, b []conf.Document) int { return a[0].Origin.Compare(b[0].Origin) }) // as a load does
	return slices.Concat(all...), nil
}

// Release drops the YAML of the documents that the set has loaded. It is not called concurrently with Documents.
func (c *ConfigMaps) Release(set *conf.Set) {
	for _, documents := range c.informer.All() {
		set.Release(documents)
	}
}

// Once lists the documents without Run, and caches nothing. It takes at most 30 seconds.
func (c *ConfigMaps) Once(ctx context.Context) ([]conf.Document, error) {
	documents, err := c.informer.List(ctx)
	return slices.Concat(documents...), err
}

// Trouble returns why the ConfigMaps cannot be watched now, nil if they can. Before the first list succeeds, it is
// the error of the list or ErrNotSynced.
func (c *ConfigMaps) Trouble() error {
	if err := c.informer.Err(); err != nil {
		return err
	}
	if !c.informer.HasSynced() {
		return ErrNotSynced
	}
	return nil
}

// Run watches the ConfigMaps until ctx ends, and then returns nil.
func (c *ConfigMaps) Run(ctx context.Context, changed func()) error {
	var first sync.Once
	c.informer.Run(ctx, kube.Handler{
		Changed: func(string) {
			first.Do(func() {
				if len(c.informer.All()) == 0 {
					c.log.Warn().Str("namespace", c.namespace).Stringer("labels", c.selector).
						Msg("no ConfigMap in this namespace matches the label selector")
				}
			})
			changed()
		},
		Failed: func(error) { changed() },
	})
	return nil
}
