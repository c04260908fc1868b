package watcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/singleflight"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/lru"

	"k8s-sidecar-injector/kube"
)

const (
	// getTimeout limits the Get of a namespace, because a review waits for it.
	getTimeout = 2 * time.Second
	// cacheTTL is how long a namespace that the informer has not seen is cached.
	cacheTTL = 30 * time.Second
	// maxCached limits the number of these namespaces.
	maxCached = 1000
	// namespaceGrant is the RBAC rule for namespaces.
	namespaceGrant = "a ClusterRole that has the verbs get, list and watch"
)

// NamespaceClient is a client of the metadata of namespaces. It must be safe for concurrent use.
type NamespaceClient interface {
	kube.ListerWatcher[*metav1.PartialObjectMetadataList]
	Get(ctx context.Context, name string, options metav1.GetOptions) (*metav1.PartialObjectMetadata, error)
}

// Namespaces watches one annotation of all namespaces. Make it with NewNamespaces. All methods are
// safe for concurrent use; Run is called once.
//
// An informer keeps the annotation and nothing else. A namespace that it has not seen was probably
// created a moment ago: a Get reads it, and the annotation is cached for 30 seconds or until the
// informer sees the namespace. While the API server fails, cached annotations stay in use.
type Namespaces struct {
	key      string // of the annotation
	client   NamespaceClient
	log      zerolog.Logger
	informer *kube.Informer[annotation]
	requests singleflight.Group
	cache    *lru.Cache // annotations of namespaces that the informer has not seen
}

// annotation is the annotation of a namespace.
type annotation struct {
	value  string
	found  bool      // false if the namespace does not have it
	expiry time.Time // if it is cached
}

// NewNamespaces returns a cache that sends no request before Run or Default. The key is that of the annotation.
func NewNamespaces(client NamespaceClient, key string, log zerolog.Logger) *Namespaces {
	n := &Namespaces{key: key, client: client, log: log, cache: lru.New(maxCached)}
	options := kube.Options{What: "namespaces", Grant: namespaceGrant, Log: log}
	n.informer = kube.NewInformer(client, n.annotationOf, options)
	return n
}

// Run watches namespaces until ctx ends, and then returns nil.
func (n *Namespaces) Run(ctx context.Context) error {
	n.informer.Run(ctx, kube.Handler{Changed: n.evict, Failed: n.logFailure})
	return nil
}

// Pending returns why the namespaces have not been listed yet. After the first list it returns nil.
func (n *Namespaces) Pending() []string {
	if n.informer.HasSynced() {
		return nil
	}
	return []string{fmt.Sprintf("namespaces have not been read yet: %v", cmp.Or(n.informer.Err(), ErrNotSynced))}
}

// Default returns the annotation of a namespace. found is false if the namespace does not have it or
// does not exist. An error means that the Get of the namespace failed, took longer than 2 seconds, or was
// not complete when ctx ended.
func (n *Namespaces) Default(ctx context.Context, namespace string) (value string, found bool, err error) {
	a, ok := n.lookup(namespace)
	if !ok {
		a, err = n.get(ctx, namespace)
	}
	return a.value, a.found, err
}

// lookup returns the annotation from the informer, or from a cache entry that has not expired.
func (n *Namespaces) lookup(namespace string) (a annotation, ok bool) {
	if a, ok = n.informer.Get(namespace); ok {
		return a, true
	}
	a, ok = n.cached(namespace)
	return a, ok && time.Now().Before(a.expiry)
}

func (n *Namespaces) cached(namespace string) (a annotation, ok bool) {
	value, _ := n.cache.Get(namespace)
	a, ok = value.(annotation)
	return a, ok
}

func (n *Namespaces) annotationOf(namespace *metav1.PartialObjectMetadata) annotation {
	value, found := namespace.Annotations[n.key]
	return annotation{value: value, found: found}
}

// get reads a namespace from the API server. Concurrent calls share a request, which continues if the context of
// one of them ends.
func (n *Namespaces) get(ctx context.Context, namespace string) (annotation, error) {
	if validation.IsDNS1123Label(namespace) != nil {
		return annotation{}, nil // it does not exist
	}
	results := n.requests.DoChan(namespace, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), getTimeout)
		defer cancel()
		return n.request(ctx, namespace)
	})
	select {
	case result := <-results:
		a, _ := result.Val.(annotation)
		return a, result.Err
	case <-ctx.Done():
		return annotation{}, cannotGet(namespace, kube.ErrTimeout)
	}
}

// request sends one Get. NotFound is not cached. If the Get fails, an expired cache entry is renewed.
func (n *Namespaces) request(ctx context.Context, namespace string) (annotation, error) {
	object, err := n.client.Get(ctx, namespace, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) && !apierrors.IsUnexpectedServerError(err): // which would be the 404 of a proxy
		n.evict(namespace)
		return annotation{}, nil
	case err != nil && ctx.Err() != nil:
		err = kube.ErrTimeout
	case kube.IsForeign(err), err == nil && object.Name != namespace:
		// client-go decodes any JSON object without a kind as an empty one.
		err = errors.New("the response is not a Namespace")
	}
	a, ok := n.cached(namespace)
	switch {
	case err == nil:
		a = n.annotationOf(object)
	case !ok:
		return annotation{}, cannotGet(namespace, err)
	}
	a.expiry = time.Now().Add(cacheTTL)
	n.cache.Add(namespace, a)
	return a, nil
}

func cannotGet(namespace string, err error) error {
	return fmt.Errorf("cannot get namespace %s: %w", namespace, kube.Explain(err, namespaceGrant))
}

// evict removes a namespace from the cache once the informer has seen it. An empty name, after a list, removes all.
func (n *Namespaces) evict(namespace string) {
	if namespace == "" {
		n.cache.Clear()
		return
	}
	n.cache.Remove(namespace)
}

func (n *Namespaces) logFailure(err error) {
	if err != nil {
		n.log.Error().Err(err).Msg("cannot watch namespaces; known annotations stay in use")
		return
	}
	n.log.Info().Msg("namespaces are watched again")
}
