package watcher

import (
	"cmp"
	"context"
	"fmt"
	"sync"

	"github.com/rs/zerolog"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"k8s-sidecar-injector/conf"
)

// ConfigMaps is the source of the definitions in the ConfigMaps of one namespace that a label
// selector matches. Make it with NewConfigMaps. All methods are safe for concurrent use, but
// Run is called once.
//
// A shared informer keeps what the API server has, filtered there. While the API server does
// not answer or refuses, Documents fails with the reason, and the informer tries again after
// 1 second to 1 minute, longer each time.
type ConfigMaps struct {
	namespace string
	selector  labels.Selector
	log       zerolog.Logger
	informer  cache.SharedIndexInformer
	follower  *follower

	mu      sync.Mutex
	trouble map[string]error // why the API server cannot be listed or watched now, by verb
	changed func()           // nil before Run
}

// ConfigMapClient is the client of the ConfigMaps of one namespace, as far as they are followed. It
// must be safe for concurrent use.
type ConfigMapClient interface {
	List(ctx context.Context, options metav1.ListOptions) (*corev1.ConfigMapList, error)
	Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error)
}

// NewConfigMaps makes a source that asks the API server for nothing before Run. The client is
// that of the ConfigMaps of the namespace. The selector must match something: labels.Nothing is
// not the way to turn the source off.
func NewConfigMaps(client ConfigMapClient, namespace string, selector labels.Selector, log zerolog.Logger) *ConfigMaps {
	c := &ConfigMaps{namespace: namespace, selector: selector, log: log, trouble: make(map[string]error)}
	c.follower = &follower{
		lister: lists(client.List), watcher: client.Watch, selector: selector.String(),
		timeout: answerTimeout, report: c.report,
		followed: followed{
			kind: "ConfigMaps", what: "configmaps in namespace " + namespace,
			grant: "a Role that has the verbs list and watch",
		},
	}
	c.informer = cache.NewSharedIndexInformer(c.follower.listWatch(), &corev1.ConfigMap{}, 0, nil)
	return c
}

// String gives `configmaps sidecars (app=k8s-sidecar-injector)`.
func (c *ConfigMaps) String() string {
	return fmt.Sprintf("configmaps %s (%s)", c.namespace, c.selector)
}

// Selects tells whether a ConfigMap of that namespace and labels is one of the source.
func (c *ConfigMaps) Selects(configMap *corev1.ConfigMap) bool {
	return configMap.Namespace == c.namespace && c.selector.Matches(labels.Set(configMap.Labels))
}

// Documents gives what the informer holds. Before it was filled for the first time, the error
// is ErrNotSynced, or why that has not happened yet.
func (c *ConfigMaps) Documents(context.Context) ([]conf.Document, error) {
	if trouble := c.Trouble(); trouble != nil {
		return nil, trouble
	}
	var documents []conf.Document
	for _, object := range c.informer.GetStore().List() {
		if held, ok := object.(*definitions); ok {
			documents = append(documents, held.documents...)
		}
	}
	return documents, nil
}

// Once asks the API server for the documents, without Run and in 30 seconds at most. Nothing is kept.
func (c *ConfigMaps) Once(ctx context.Context) ([]conf.Document, error) {
	list, err := c.follower.once(ctx)
	if err != nil {
		return nil, err
	}
	var documents []conf.Document
	err = meta.EachListItem(list, func(object runtime.Object) error {
		if configMap, ok := object.(*corev1.ConfigMap); ok {
			documents = append(documents, conf.OfConfigMap(configMap)...)
		}
		return nil
	})
	return documents, err
}

// Trouble is why the ConfigMaps cannot be followed now. Before they were read for the first time,
// it is ErrNotSynced, or why that has not happened yet; nil means that all is well.
func (c *ConfigMaps) Trouble() error {
	c.mu.Lock()
	trouble := cmp.Or(c.trouble[verbList], c.trouble[verbWatch])
	c.mu.Unlock()
	if trouble == nil && !c.informer.HasSynced() {
		trouble = ErrNotSynced
	}
	return trouble
}

// Run follows the API server until ctx ends, and then returns nil.
func (c *ConfigMaps) Run(ctx context.Context, changed func()) error {
	c.mu.Lock()
	c.changed = changed
	c.mu.Unlock()
	if err := c.informer.SetTransform(keepDefinitions); err != nil {
		return err
	}
	// The follower has reported what goes wrong.
	if err := c.informer.SetWatchErrorHandlerWithContext(func(context.Context, *cache.Reflector, error) {}); err != nil {
		return err
	}
	_, err := c.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { changed() },
		UpdateFunc: func(any, any) { changed() },
		DeleteFunc: func(any) { changed() },
	})
	if err != nil {
		return err
	}
	go c.awaitSync(ctx, changed)
	c.informer.RunWithContext(ctx)
	return nil
}

// awaitSync tells of the first sync, of which no event tells when there is no ConfigMap.
func (c *ConfigMaps) awaitSync(ctx context.Context, changed func()) {
	if !cache.WaitForCacheSync(ctx.Done(), c.informer.HasSynced) {
		return
	}
	if len(c.informer.GetStore().ListKeys()) == 0 {
		c.log.Warn().Str("namespace", c.namespace).Stringer("labels", c.selector).
			Msg("no ConfigMap has these labels in this namespace: are both right?")
	}
	changed()
}

// report takes how it goes with listing or watching.
func (c *ConfigMaps) report(verb string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !sameText(c.trouble[verb], err) {
		c.trouble[verb] = err
		c.changed()
	}
}

// definitions is what is kept of a ConfigMap: what a cache needs to know it by, and its
// documents.
type definitions struct {
	metav1.ObjectMeta
	documents []conf.Document
}

// keepDefinitions is the transform of the informer, which may also hand it what it has
// transformed before.
func keepDefinitions(object any) (any, error) {
	configMap, ok := object.(*corev1.ConfigMap)
	if !ok {
		return object, nil
	}
	return &definitions{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:       configMap.Namespace,
			Name:            configMap.Name,
			UID:             configMap.UID,
			ResourceVersion: configMap.ResourceVersion,
		},
		documents: conf.OfConfigMap(configMap),
	}, nil
}
