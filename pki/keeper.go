package pki

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

const (
	// retryFirst and retryMost bound the time after which a failed write is tried again.
	retryFirst = 50 * time.Millisecond
	retryMost  = 30 * time.Second
	// pollInterval is how often everything is looked at, whatever is or is not heard.
	pollInterval = time.Hour
	// writeTimeout is how long the API server may take for a write.
	writeTimeout = 15 * time.Second
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
	// Observe is called after each new certificate and each failure, from one goroutine at a
	// time, with the time at which the certificate in service expires, or the zero time. Nil
	// means that nobody looks.
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

	mu        sync.Mutex
	failure   error // of the latest work
	published bool  // the bundle was in all configurations once
}

// New makes a keeper that does nothing before Run.
func New(options Options) *Keeper {
	names := slices.Clone(options.Names)
	slices.Sort(names)
	k := &Keeper{
		options: options,
		wish:    wish{names: slices.Compact(names), lifetime: options.Lifetime, caLifetime: options.CALifetime},
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[struct{}](retryFirst, retryMost)),
	}
	k.secret = k.followSecret()
	for _, name := range options.Configurations {
		k.configurations = append(k.configurations, k.mutating(name), k.validating(name))
	}
	return k
}

// Run keeps the certificates until ctx ends, and then returns nil. What goes wrong with the API
// server is logged and tried again, and what is served stays.
func (k *Keeper) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, f := range k.follows() {
		if err := f.handle(k.wake); err != nil {
			return err
		}
		group.Go(func() error {
			f.informer.RunWithContext(ctx)
			return nil
		})
	}
	context.AfterFunc(ctx, k.queue.ShutDown)
	group.Go(func() error {
		if !cache.WaitForCacheSync(ctx.Done(), k.secret.informer.HasSynced) {
			return nil
		}
		k.wake()
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
		if err := f.trouble(); err != nil {
			return err
		}
	}
	return errors.New("it has not been read yet")
}

func (k *Keeper) wake() { k.queue.Add(struct{}{}) }

// work does what there is to do once somebody wakes it. It is false in the end.
func (k *Keeper) work(ctx context.Context) bool {
	item, shutDown := k.queue.Get()
	if shutDown {
		return false
	}
	defer k.queue.Done(item)
	pause, err := k.reconcile(ctx)
	if ctx.Err() != nil {
		return false
	}
	k.note(err)
	if err != nil {
		k.queue.AddRateLimited(item)
		return true
	}
	k.queue.Forget(item)
	k.queue.AddAfter(item, pause)
	return true
}

// note remembers how the latest work went, and says so when that is news. That another
// replica was faster is nobody's concern.
func (k *Keeper) note(err error) {
	if apierrors.IsConflict(err) {
		return
	}
	k.mu.Lock()
	before := k.failure
	k.failure = err
	k.mu.Unlock()
	switch {
	case err != nil && (before == nil || before.Error() != err.Error()):
		k.options.Log.Error().Err(err).Msg("certificates cannot be kept: what is served stays until this is mended")
		k.observe(false)
	case err == nil && before != nil:
		k.options.Log.Info().Msg("certificates can be kept again")
	}
}

// reconcile looks at everything and does the next thing. It tells after what time to look again,
// should nothing be heard before.
func (k *Keeper) reconcile(ctx context.Context) (pause time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	now := time.Now()
	secret, held, fault := k.read(now)
	next, why, err := k.wish.next(held, circumstances{now: now, spread: k.spread(held, now), last: k.serving.Load()})
	if err != nil {
		return 0, err
	}
	if next != nil {
		return pollInterval, k.write(ctx, secret, next, why, fault) // which wakes us
	}
	k.serve(held)
	if err := k.publish(ctx, held.bundle()); err != nil {
		return 0, err
	}
	return k.pause(held, now), nil
}

// read gives the Secret as far as there is one, and what it holds, or why that cannot be used.
func (k *Keeper) read(now time.Time) (secret *corev1.Secret, held *state, fault error) {
	secret, found := k.secret.object().(*corev1.Secret)
	if !found {
		return nil, nil, errAbsent
	}
	held, fault = decode(secret.Data, now)
	return secret, held, fault
}

// pause is how long nothing is to be done if nothing happens. A second is added because times in
// certificates have no fractions.
func (k *Keeper) pause(held *state, now time.Time) time.Duration {
	next := k.wish.until(held).Add(time.Second)
	if !held.settled() && !k.since.IsZero() {
		next = k.since.Add(k.wish.spread())
	}
	return max(retryFirst, min(pollInterval, next.Sub(now)))
}

// spread tells whether all configurations have had the bundle for long enough.
func (k *Keeper) spread(held *state, now time.Time) bool {
	if held == nil {
		return false
	}
	bundle := held.bundle()
	for _, c := range k.configurations {
		if !c.informer.HasSynced() || len(c.lacking(bundle)) > 0 {
			k.spreading, k.since = "", time.Time{}
			return false
		}
	}
	if k.spreading != string(bundle) {
		k.spreading, k.since = string(bundle), now
	}
	return now.Sub(k.since) >= k.wish.spread()
}

// serve takes up the certificate of the Secret.
func (k *Keeper) serve(held *state) {
	before := k.serving.Swap(held)
	leaf := held.leaf.Leaf
	switch {
	case before == nil || !before.leaf.Leaf.Equal(leaf):
		k.ordered.Store(false)
		k.say(leaf, "certificate loaded")
		k.observe(true)
	case k.ordered.Swap(false):
		k.say(leaf, "reloaded: the certificate is what it was")
	}
}

// publish puts the bundle into every configuration that lacks it.
func (k *Keeper) publish(ctx context.Context, bundle []byte) error {
	synced := true
	for _, c := range k.configurations {
		if !c.informer.HasSynced() {
			synced = false
			continue
		}
		if err := c.publish(ctx, bundle, k.options.Log); err != nil {
			return err
		}
	}
	if synced {
		k.mu.Lock()
		k.published = true
		k.mu.Unlock()
	}
	return nil
}

func (k *Keeper) observe(ok bool) {
	if k.options.Observe == nil {
		return
	}
	var notAfter time.Time
	if s := k.serving.Load(); s != nil {
		notAfter = s.leaf.Leaf.NotAfter
	}
	k.options.Observe(ok, notAfter)
}
