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
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"

	"k8s-sidecar-injector/kube"
)

// Options configure a Controller.
type Options struct {
	// Secrets is a client of the Secret's namespace. Mutating and Validating are clients of the webhook
	// configurations.
	Secrets  Client[*corev1.Secret, *corev1.SecretList]
	Mutating Client[
		*admissionregistrationv1.MutatingWebhookConfiguration,
		*admissionregistrationv1.MutatingWebhookConfigurationList,
	]
	Validating Client[
		*admissionregistrationv1.ValidatingWebhookConfiguration,
		*admissionregistrationv1.ValidatingWebhookConfigurationList,
	]
	// Secret is the name of the Secret that stores the certificates.
	Secret types.NamespacedName
	// Configurations are the names of mutating and validating webhook configurations. The caBundle of all
	// their webhooks is reconciled. A name may have a configuration of one kind or of both.
	Configurations []string
	// Names are the DNS names and IP addresses of the serving certificate.
	Names []string
	// Lifetime is the lifetime of new serving certificates. CALifetime is the lifetime of new CAs, at least
	// three times Lifetime.
	Lifetime, CALifetime time.Duration
	Log                  zerolog.Logger
	// Observe is called with true and the expiry after each new certificate, and with false and a zero time
	// after each failed reconciliation. It is called from one goroutine.
	Observe func(ok bool, notAfter time.Time)
}

// Controller reconciles the certificates in the Secret and the caBundle, and serves the certificate. Make it
// with New. All methods are safe for concurrent use; Run is called once.
type Controller struct {
	options        Options
	secret         *kube.Informer[*corev1.Secret]
	configurations []*configuration
	informers      []informer            // of the Secret and the configurations
	wake           chan struct{}         // has a token if a reconciliation is due
	serving        atomic.Pointer[state] // in service; nil before the first certificate
	published      atomic.Bool           // all configurations had the bundle at least once

	// These belong to the worker.
	current      string // the bundle that all configurations have; empty if one has another
	currentSince time.Time
	absent       sets.Set[string] // names without a webhook configuration

	mu  sync.Mutex
	err error // of the latest reconciliation
}

// New returns a controller. It sends no request before Run.
func New(options Options) *Controller {
	options.Names = slices.Clone(options.Names)
	for i, name := range options.Names {
		if ip := net.ParseIP(name); ip != nil {
			options.Names[i] = ip.String() // as namesOf returns it
		}
	}
	what := "secret " + options.Secret.String()
	keep := func(secret *corev1.Secret) *corev1.Secret { return secret }
	c := &Controller{
		options: options,
		secret:  newInformer(options.Secrets, what, options.Secret.Name, keep, options.Log),
		wake:    make(chan struct{}, 1),
	}
	for _, name := range options.Configurations {
		c.configurations = append(c.configurations,
			newConfiguration("mutatingwebhookconfiguration", name, options.Mutating, mutatingWebhooks, options.Log),
			newConfiguration("validatingwebhookconfiguration", name, options.Validating, validatingWebhooks, options.Log))
	}
	c.informers = []informer{c.secret}
	for _, configuration := range c.configurations {
		c.informers = append(c.informers, configuration)
	}
	return c
}

// String returns `secret NAMESPACE/NAME`, for log lines.
func (c *Controller) String() string { return c.secret.String() }

// Run reconciles until ctx ends, and then returns nil. It logs errors of the API server and retries. Meanwhile, the
// certificate in service stays.
func (c *Controller) Run(ctx context.Context) error {
	var group sync.WaitGroup
	for _, i := range c.informers {
		group.Go(func() {
			i.Run(ctx, kube.Handler{
				Changed: func(string) { c.enqueue() },
				Failed:  func(err error) { c.logFailure(i, err) },
			})
		})
	}
	c.work(ctx)
	group.Wait()
	return nil
}

// Reload logs the certificate in service, for SIGHUP, and requests a reconciliation. It does not wait.
func (c *Controller) Reload() {
	if s := c.serving.Load(); s != nil {
		c.logCertificate(s.leaf.Leaf, "certificate reloaded, no changes")
	}
	c.enqueue()
}

// GetCertificate returns the certificate in service, for tls.Config.GetCertificate, without taking a lock. If there
// is none yet, the error has the reason.
func (c *Controller) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if s := c.serving.Load(); s != nil {
		return s.leaf, nil
	}
	return nil, fmt.Errorf("no certificate yet: %w", c.lastErr())
}

// Pending returns why this replica is not ready: it has no certificate yet, or the webhook configurations have not
// had the caBundle yet. Afterwards, it always returns nil.
func (c *Controller) Pending() []string {
	if c.serving.Load() == nil {
		return []string{fmt.Sprintf("secret %s: no certificate yet: %v", c.options.Secret, c.lastErr())}
	}
	if !c.published.Load() {
		return []string{fmt.Sprintf("webhook configurations %q: caBundle not current yet: %v",
			c.options.Configurations, c.lastErr())}
	}
	return nil
}

// Err returns why the latest reconciliation or a watch failed, nil if they succeed.
func (c *Controller) Err() error {
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	for _, i := range c.informers {
		err = cmp.Or(err, i.Err())
	}
	return err
}

// lastErr returns Err, or errWaiting.
func (c *Controller) lastErr() error { return cmp.Or(c.Err(), errWaiting) }

var errWaiting = errors.New("waiting for the API server")

// enqueue requests a reconciliation. Before the Secret was listed, it does nothing, because an unlisted Secret looks
// like a missing one.
func (c *Controller) enqueue() {
	if !c.secret.HasSynced() {
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
