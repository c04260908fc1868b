package watcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/singleflight"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/watch"

	"k8s-sidecar-injector/kube"
)

const (
	// askTimeout limits the request for one namespace, because a review waits for it.
	askTimeout = 2 * time.Second
	// freshFor is how long the answer about a namespace is used that the informer has not seen.
	freshFor = 30 * time.Second
	// mostFresh bounds the number of these answers.
	mostFresh = 1000
)

// NamespaceClient is the client of the metadata of namespaces. It must be safe for concurrent use.
type NamespaceClient interface {
	Get(ctx context.Context, name string, options metav1.GetOptions) (*metav1.PartialObjectMetadata, error)
	List(ctx context.Context, options metav1.ListOptions) (*metav1.PartialObjectMetadataList, error)
	Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error)
}

// Namespaces knows one annotation of all namespaces. Make it with NewNamespaces. All methods are
// safe for concurrent use, but Run is called once.
//
// An informer keeps the annotation, and nothing else. A namespace that it has not seen was probably
// created a moment ago: the API server is asked for it, and the answer is used for 30 seconds or
// until the informer reports the namespace. While the API server is away, known answers stay in use.
type Namespaces struct {
	annotation string
	client     NamespaceClient
	log        zerolog.Logger
	informer   *kube.Informer[request]
	questions  singleflight.Group
	patience   time.Duration // for the answer to one of them

	mu    sync.Mutex
	fresh map[string]answer // about namespaces that the informer has not seen
}

// request is an annotation that may be absent.
type request struct {
	text  string
	found bool
}

// answer is the answer to a request for one namespace.
type answer struct {
	request
	expiry time.Time
}

// namespaceGrant is the RBAC rule for namespaces.
const namespaceGrant = "a ClusterRole that has the verbs get, list and watch"

// NewNamespaces returns a source that sends no request before Run. The annotation is its whole key.
func NewNamespaces(client NamespaceClient, annotation string, log zerolog.Logger) *Namespaces {
	n := &Namespaces{annotation: annotation, client: client, log: log, patience: askTimeout}
	n.fresh = make(map[string]answer)
	n.informer = kube.NewInformer(client, kube.Options[request]{
		What: "namespaces", Grant: namespaceGrant, Keep: n.keep, Log: log,
	})
	return n
}

// Run follows the API server until ctx ends, and then returns nil.
func (n *Namespaces) Run(ctx context.Context) error {
	n.informer.Run(ctx, kube.Handler{Changed: n.forget, Failed: n.report})
	return nil
}

// Pending returns the reason why namespaces are not known yet. It is empty after the first list, and
// stays so.
func (n *Namespaces) Pending() []string {
	if n.informer.HasSynced() {
		return nil
	}
	return []string{fmt.Sprintf("namespaces have not been read yet: %v", cmp.Or(n.informer.Err(), ErrNotSynced))}
}

// Default gives the annotation of a namespace; it is not found where the namespace has none or does
// not exist. An error means that the API server had to be asked and did not tell, in the time of
// ctx or within 2 seconds.
func (n *Namespaces) Default(ctx context.Context, namespace string) (text string, found bool, err error) {
	known, ok := n.known(namespace)
	if !ok {
		known, err = n.ask(ctx, namespace)
	}
	return known.text, known.found, err
}

// known returns what the informer saw, or an answer that has not expired.
func (n *Namespaces) known(namespace string) (r request, ok bool) {
	if r, ok = n.informer.Get(namespace); ok {
		return r, true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	known, ok := n.fresh[namespace]
	return known.request, ok && time.Now().Before(known.expiry)
}

// keep returns the annotation of a namespace.
func (n *Namespaces) keep(object runtime.Object) (r request, ok bool) {
	namespace, ok := object.(*metav1.PartialObjectMetadata)
	if ok {
		r.text, r.found = namespace.Annotations[n.annotation]
	}
	return r, ok
}

// ask asks the API server. Concurrent calls for one namespace share a request, which goes on if one
// of them leaves.
func (n *Namespaces) ask(ctx context.Context, namespace string) (request, error) {
	if validation.IsDNS1123Label(namespace) != nil {
		return request{}, nil // it does not exist
	}
	answers := n.questions.DoChan(namespace, func() (any, error) {
		if known, ok := n.known(namespace); ok {
			return known, nil // since a moment
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), n.patience)
		defer cancel()
		return n.question(ctx, namespace)
	})
	select {
	case answer := <-answers:
		r, _ := answer.Val.(request)
		return r, answer.Err
	case <-ctx.Done():
		return request{}, cannotGet(namespace, kube.ErrTimeout)
	}
}

// question sends one request. A namespace that does not exist has no annotation; that is not
// remembered, because it may be created at any time.
func (n *Namespaces) question(ctx context.Context, namespace string) (request, error) {
	object, err := n.client.Get(ctx, namespace, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) && !apierrors.IsUnexpectedServerError(err): // which would be no API server's
		n.forget(namespace)
		return request{}, nil
	case err != nil && ctx.Err() != nil:
		err = kube.ErrTimeout
	case kube.IsForeign(err), err == nil && object.Name != namespace:
		// client-go decodes any JSON object without a kind as an empty one.
		err = errors.New("the response is no Namespace")
	}
	if err != nil {
		return n.stale(namespace, err)
	}
	r, _ := n.keep(object)
	n.remember(namespace, r)
	return r, nil
}

// stale returns an expired answer while the API server cannot give a new one.
func (n *Namespaces) stale(namespace string, err error) (request, error) {
	n.mu.Lock()
	last, ok := n.fresh[namespace]
	n.mu.Unlock()
	if !ok {
		return request{}, cannotGet(namespace, err)
	}
	n.remember(namespace, last.request)
	return last.request, nil
}

func cannotGet(namespace string, err error) error {
	return fmt.Errorf("cannot get namespace %s: %w", namespace, kube.Explain(err, namespaceGrant))
}

// remember keeps an answer until it expires or the informer sees the namespace.
func (n *Namespaces) remember(namespace string, r request) {
	now := time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.fresh) >= mostFresh {
		maps.DeleteFunc(n.fresh, func(_ string, a answer) bool { return now.After(a.expiry) })
	}
	if _, known := n.fresh[namespace]; known || len(n.fresh) < mostFresh {
		n.fresh[namespace] = answer{r, now.Add(freshFor)}
	}
}

// forget drops the answer about a namespace that the informer saw; after a list, all of them.
func (n *Namespaces) forget(namespace string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if namespace == "" {
		clear(n.fresh)
	}
	delete(n.fresh, namespace)
}

// report logs a change of the error of the API server.
func (n *Namespaces) report(err error) {
	if err != nil {
		n.log.Error().Err(err).Msg("namespaces cannot be followed: what is known of their annotations stays in use")
		return
	}
	n.log.Info().Msg("namespaces can be followed again")
}
