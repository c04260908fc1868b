package watcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/singleflight"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

const (
	// askTimeout is how long the API server may take to tell of one namespace. Somebody waits for
	// a pod.
	askTimeout = 2 * time.Second
	// mostFresh bounds what is remembered of namespaces that the informer has not seen yet.
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
// A shared informer keeps the annotation, and nothing else. A namespace that it has not seen yet was
// created a moment ago: the API server is asked for it, once. While the API server is away, what is
// known stays in use.
type Namespaces struct {
	annotation string
	client     NamespaceClient
	log        zerolog.Logger
	informer   cache.SharedIndexInformer
	follower   *follower
	questions  singleflight.Group
	patience   time.Duration // for an answer to them

	mu      sync.Mutex
	trouble map[string]error   // why the API server cannot be listed or watched now, by verb
	fresh   map[string]request // of namespaces that the informer has not seen yet
}

// request is an annotation that may be absent.
type request struct {
	text  string
	found bool
}

// NewNamespaces makes a source that asks the API server for nothing before Run. The annotation is
// its whole key.
func NewNamespaces(client NamespaceClient, annotation string, log zerolog.Logger) *Namespaces {
	n := &Namespaces{
		annotation: annotation, client: client, log: log, patience: askTimeout,
		trouble: make(map[string]error), fresh: make(map[string]request),
	}
	n.follower = &follower{
		lister: lists(client.List), watcher: client.Watch, timeout: answerTimeout, report: n.report,
		followed: followed{kind: "Namespaces", what: "namespaces", grant: "a ClusterRole that has the verbs get, list and watch"},
	}
	n.informer = cache.NewSharedIndexInformer(n.follower.listWatch(), &metav1.PartialObjectMetadata{}, 0, nil)
	return n
}

// Run follows the API server until ctx ends, and then returns nil.
func (n *Namespaces) Run(ctx context.Context) error {
	if err := n.informer.SetTransform(n.keep); err != nil {
		return err
	}
	// The follower has reported what goes wrong.
	if err := n.informer.SetWatchErrorHandlerWithContext(func(context.Context, *cache.Reflector, error) {}); err != nil {
		return err
	}
	_, err := n.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    n.forget,
		UpdateFunc: func(_, object any) { n.forget(object) },
		DeleteFunc: n.forget,
	})
	if err != nil {
		return err
	}
	n.informer.RunWithContext(ctx)
	return nil
}

// Pending gives the reason why namespaces are not known yet. It is empty once they were listed, and
// stays so.
func (n *Namespaces) Pending() []string {
	if n.informer.HasSynced() {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return []string{fmt.Sprintf("namespaces have not been read yet: %v", cmp.Or(n.trouble[verbList], n.trouble[verbWatch], ErrNotSynced))}
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

// known gives what was seen, or else what was asked for.
func (n *Namespaces) known(namespace string) (r request, ok bool) {
	if object, seen, _ := n.informer.GetStore().GetByKey(namespace); seen {
		return n.of(object), true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	r, ok = n.fresh[namespace]
	return r, ok
}

// of reads the annotation.
func (n *Namespaces) of(object any) (r request) {
	if namespace, ok := object.(*metav1.PartialObjectMetadata); ok {
		r.text, r.found = namespace.Annotations[n.annotation]
	}
	return r
}

// ask asks the API server. All who ask for one namespace at a time share a question, which goes on
// when one of them leaves.
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
		return request{}, n.cannotGet(namespace, errSilent)
	}
}

// question is one question to the API server. That there is no such namespace is an answer, though
// none to be remembered: the next moment there may be one.
func (n *Namespaces) question(ctx context.Context, namespace string) (request, error) {
	object, err := n.client.Get(ctx, namespace, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) && !apierrors.IsUnexpectedServerError(err): // which would be no API server's
		return request{}, nil
	case err != nil && ctx.Err() != nil:
		return request{}, n.cannotGet(namespace, errSilent)
	case runtime.IsNotRegisteredError(err), err == nil && object.Name != namespace:
		// Any JSON object without a kind decodes as an empty one.
		return request{}, n.cannotGet(namespace, errors.New("the answer is no Namespace: is this an API server?"))
	case err != nil:
		return request{}, n.cannotGet(namespace, err)
	}
	answer := n.of(object)
	n.remember(namespace, answer)
	return answer, nil
}

func (n *Namespaces) cannotGet(namespace string, err error) error {
	return n.follower.followed.cannot(verbGet, "namespace "+namespace, err)
}

// remember keeps an answer until the informer sees the namespace.
func (n *Namespaces) remember(namespace string, answer request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, seen, _ := n.informer.GetStore().GetByKey(namespace); !seen && len(n.fresh) < mostFresh {
		n.fresh[namespace] = answer
	}
}

// forget drops the answer about a namespace of which the informer knows better.
func (n *Namespaces) forget(object any) {
	name, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object)
	if err != nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.fresh, name)
}

// report takes how it goes with listing or watching, and says so when that is news.
func (n *Namespaces) report(verb string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	before := n.trouble[verb]
	n.trouble[verb] = err
	switch {
	case err != nil && !sameText(before, err):
		n.log.Error().Err(err).Msg("namespaces cannot be followed: what is known of their annotations stays in use")
	case err == nil && before != nil:
		n.log.Info().Str("verb", verb).Msg("namespaces can be followed again")
	}
}

// keep is the transform of the informer, which may also hand it what it has transformed before. A
// cluster has many namespaces, and what is kept of each is a name and an annotation.
func (n *Namespaces) keep(object any) (any, error) {
	namespace, ok := object.(*metav1.PartialObjectMetadata)
	if !ok {
		return object, nil
	}
	kept := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Name: namespace.Name, UID: namespace.UID, ResourceVersion: namespace.ResourceVersion,
	}}
	if r := n.of(namespace); r.found {
		kept.Annotations = map[string]string{n.annotation: r.text}
	}
	return kept, nil
}
