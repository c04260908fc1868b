package pki

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
)

// Options are the parts of a Keeper.
type Options struct {
	// Secrets is the client of the Secret's namespace; the others are of the webhook configurations.
	Secrets    SecretClient
	Mutating   MutatingClient
	Validating ValidatingClient
	// Secret is where the certificates are kept.
	Secret types.NamespacedName
	// Configurations are the names of the mutating and validating webhook configurations whose
	// caBundle is kept, in all of their webhooks. There need not be one of each kind.
	Configurations []string
	// Names are the DNS names and IP addresses of the serving certificate.
	Names []string
	// Lifetime is that of the serving certificate, CALifetime that of the CA, at least three
	// times as long. They hold for what is made from now on.
	Lifetime, CALifetime time.Duration
	Log                  zerolog.Logger
	// Observe is called after each new certificate and each failed reconciliation, from one
	// goroutine at a time, with the time at which the certificate in service expires, or the zero
	// time. Optional.
	Observe func(ok bool, notAfter time.Time)
}

// Keeper keeps the certificates in the Secret, and serves them. Make it with New. All methods
// are safe for concurrent use; Run is called once.
type Keeper struct {
	options        Options
	wish           wish
	secret         *followed
	configurations []*configuration
	queue          workqueue.TypedRateLimitingInterface[struct{}]
	serving        atomic.Pointer[state]
	ordered        atomic.Bool // somebody asked for a look at everything

	// These belong to the goroutine that works.
	spreading string // the bundle that all configurations had since
	since     time.Time
	absent    map[string]bool // the names of configurations of which there are none

	mu        sync.Mutex
	failure   error // of the latest work
	published bool  // the bundle was in all configurations once
}

// New makes a keeper that does nothing before Run.
func New(options Options) *Keeper {
	k := &Keeper{
		options: options,
		absent:  make(map[string]bool),
		wish:    wish{names: normal(options.Names), lifetime: options.Lifetime, caLifetime: options.CALifetime},
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[struct{}](retryFirst, retryMost)),
	}
	k.secret = k.followSecret()
	for _, name := range options.Configurations {
		k.configurations = append(k.configurations, k.mutating(name), k.validating(name))
	}
	return k
}

// normal gives names as certificates give them back, sorted.
func normal(names []string) []string {
	normal := make([]string, len(names))
	for i, name := range names {
		normal[i] = name
		if ip := net.ParseIP(name); ip != nil {
			normal[i] = ip.String()
		}
	}
	slices.Sort(normal)
	return slices.Compact(normal)
}

// Run keeps the certificates until ctx ends, and then returns nil. What goes wrong with the API
// server is logged and tried again, and what is served stays.
func (k *Keeper) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, f := range k.follows() {
		group.Go(func() error {
			f.run(ctx, k.wake)
			return nil
		})
	}
	context.AfterFunc(ctx, k.queue.ShutDown)
	group.Go(func() error {
		for k.work(ctx) {
		}
		return nil
	})
	return group.Wait()
}

func (k *Keeper) follows() []*followed {
	all := []*followed{k.secret}
	for _, c := range k.configurations {
		all = append(all, c.followed)
	}
	return all
}

// Reload has everything looked at and said, as on SIGHUP, and does not wait for it.
func (k *Keeper) Reload() {
	k.ordered.Store(true)
	k.wake()
}

// GetCertificate gives the serving certificate, as tls.Config.GetCertificate. It takes no lock.
// Before there is one, the error says why.
func (k *Keeper) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if s := k.serving.Load(); s != nil {
		return s.leaf, nil
	}
	return nil, fmt.Errorf("no certificate yet: %w", k.why())
}

// Pending gives the reasons why this replica cannot be used yet: there is no certificate, or the
// webhook configurations were never seen to trust it. It is empty once both were, and stays so.
func (k *Keeper) Pending() []string {
	if k.serving.Load() == nil {
		return []string{fmt.Sprintf("secret %s: no certificate yet: %v", k.options.Secret, k.why())}
	}
	k.mu.Lock()
	published := k.published
	k.mu.Unlock()
	if !published {
		return []string{fmt.Sprintf("webhook configurations %q: caBundle not current yet: %v", k.options.Configurations, k.why())}
	}
	return nil
}

// why is what is the matter, never nil.
func (k *Keeper) why() error {
	k.mu.Lock()
	failure := k.failure
	k.mu.Unlock()
	if failure != nil {
		return failure
	}
	for _, f := range k.follows() {
		if err := f.informer.Err(); err != nil {
			return err
		}
	}
	return errors.New("it has not been read yet")
}

// wake has the Keeper reconcile, unless the Secret has not been listed yet: it may exist.
func (k *Keeper) wake() {
	if k.secret.informer.HasSynced() {
		k.queue.Add(struct{}{})
	}
}
