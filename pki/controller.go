package pki

import (
	"cmp"
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
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"k8s-sidecar-injector/kube"
)

// Options are the parts of a Controller.
type Options struct {
	// Secrets is a client of the Secret's namespace; the others are of the webhook configurations.
	Secrets    SecretClient
	Mutating   MutatingClient
	Validating ValidatingClient
	// Secret stores the certificates.
	Secret types.NamespacedName
	// Configurations are the names of the mutating and validating webhook configurations. The caBundle of
	// all their webhooks is reconciled. A configuration of one kind suffices for a name.
	Configurations []string
	// Names are the DNS names and IP addresses of the serving certificate.
	Names []string
	// Lifetime is that of new serving certificates, CALifetime that of new CAs, at least three times as
	// long.
	Lifetime, CALifetime time.Duration
	Log                  zerolog.Logger
	// Observe is called after each new certificate and each failed reconciliation, from one goroutine at
	// a time. notAfter is the expiry of the certificate in service, zero if there is none. Optional.
	Observe func(ok bool, notAfter time.Time)
}

// Controller reconciles the certificates in the Secret and the caBundle, and serves the certificate. Make it
// with New. All methods are safe for concurrent use; Run is called once.
type Controller struct {
	options        Options
	spec           spec
	secret         *kube.Informer[*corev1.Secret]
	configurations []*configuration
	wake           chan struct{} // has a token if a reconciliation is due
	serving        atomic.Pointer[state]
	reload         atomic.Bool // Reload was called

	// These belong to the worker.
	current      string // the bundle of all configurations
	currentSince time.Time
	absent       map[string]bool // the names without a webhook configuration

	mu        sync.Mutex
	err       error // of the latest reconciliation
	published bool  // all configurations had the bundle once
}

// New returns a controller that does nothing before Run.
func New(options Options) *Controller {
	c := &Controller{
		options: options,
		absent:  make(map[string]bool),
		spec: spec{
			names: normalize(options.Names), lifetime: options.Lifetime, caLifetime: options.CALifetime,
		},
		secret: newSecretInformer(options),
		wake:   make(chan struct{}, 1),
	}
	for _, name := range options.Configurations {
		c.configurations = append(c.configurations, options.newMutating(name), options.newValidating(name))
	}
	return c
}

// normalize returns sorted names in the form of certificates.
func normalize(names []string) []string {
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

// Run reconciles until ctx ends, and then returns nil. It logs and retries errors of the API server; the
// certificate in service stays.
func (c *Controller) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, i := range c.informers() {
		group.Go(func() error {
			i.Run(ctx, kube.Handler{
				Changed: func(string) { c.enqueue() },
				Failed:  func(err error) { c.logFailure(i, err) },
			})
			return nil
		})
	}
	group.Go(func() error {
		c.work(ctx)
		return nil
	})
	return group.Wait()
}

func (c *Controller) informers() []informer {
	all := []informer{c.secret}
	for _, configuration := range c.configurations {
		all = append(all, configuration)
	}
	return all
}

// Reload reconciles and logs the certificate, as on SIGHUP. It does not wait.
func (c *Controller) Reload() {
	c.reload.Store(true)
	c.enqueue()
}

// GetCertificate returns the serving certificate, for tls.Config.GetCertificate. It takes no lock. Before there
// is one, the error is the reason.
func (c *Controller) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if s := c.serving.Load(); s != nil {
		return s.leaf, nil
	}
	return nil, fmt.Errorf("no certificate yet: %w", c.lastErr())
}

// Pending returns why this replica is not ready: there is no certificate, or the webhook configurations never
// had its caBundle. Once both were there, it returns nil.
func (c *Controller) Pending() []string {
	if c.serving.Load() == nil {
		return []string{fmt.Sprintf("secret %s: no certificate yet: %v", c.options.Secret, c.lastErr())}
	}
	c.mu.Lock()
	published := c.published
	c.mu.Unlock()
	if !published {
		return []string{fmt.Sprintf("webhook configurations %q: caBundle not current yet: %v",
			c.options.Configurations, c.lastErr())}
	}
	return nil
}

// lastErr returns the latest error, or that nothing was read.
func (c *Controller) lastErr() error {
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	for _, i := range c.informers() {
		err = cmp.Or(err, i.Err())
	}
	return cmp.Or(err, errNotRead)
}

var errNotRead = errors.New("not read yet")

// enqueue requests a reconciliation, but not before the Secret was listed.
func (c *Controller) enqueue() {
	if !c.secret.HasSynced() {
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
