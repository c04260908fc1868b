package pki

import (
	"context"
	"time"

	"github.com/hashicorp/go-multierror"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const (
	// retryFirst and retryMost bound the time after which a failed write is tried again.
	retryFirst = 50 * time.Millisecond
	retryMost  = 30 * time.Second
	// pollInterval is how often everything is looked at, whatever is or is not heard.
	pollInterval = time.Hour
	// writeTimeout bounds the writes to the Secret, and those to the configurations.
	writeTimeout = 15 * time.Second
)

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

// note records the result of the latest reconciliation and counts each failure. It logs a failure
// once, until the error changes. A conflict with another replica is not a failure.
func (k *Keeper) note(err error) {
	if apierrors.IsConflict(err) {
		return
	}
	k.mu.Lock()
	before := k.failure
	k.failure = err
	k.mu.Unlock()
	if err != nil {
		k.observe(false)
	}
	switch {
	case err != nil && (before == nil || before.Error() != err.Error()):
		k.options.Log.Error().Err(err).Msg("cannot update certificates; the certificate in service stays")
	case err == nil && before != nil:
		k.options.Log.Info().Msg("certificates can be updated again")
	}
}

// reconcile serves what the Secret holds, repairs the caBundle, and then takes the next step of a
// rotation. In this order, a Secret that cannot be written affects neither handshakes nor the caBundle.
// It returns the delay until the next reconciliation if no event comes before.
func (k *Keeper) reconcile(ctx context.Context) (pause time.Duration, err error) {
	var faults *multierror.Error
	now := time.Now()
	secret, held, fault := k.read(now)
	if held != nil && now.Before(held.leaf.Leaf.NotAfter) {
		k.serve(held)
	}
	if held != nil {
		faults = multierror.Append(faults, k.publish(ctx))
	}
	next, why, err := k.wish.next(held, circumstances{now: now, spread: k.spread(held, now), last: k.serving.Load()})
	pause = pollInterval // a successful write wakes the Keeper
	switch {
	case err == nil && next != nil:
		err = k.write(ctx, secret, next, why, fault)
	case err == nil:
		pause = k.pause(held, now)
	}
	faults = multierror.Append(faults, err)
	if held == nil && err != nil && !apierrors.IsConflict(err) {
		// There is nothing newer to publish: without this failure, the Secret would hold a new bundle.
		faults = multierror.Append(faults, k.publish(ctx))
	}
	return pause, faults.ErrorOrNil()
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
	if k.secret.troubled() {
		return retryMost
	}
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

// publish writes the bundle of the certificate in service to every configuration that lacks it.
func (k *Keeper) publish(ctx context.Context) error {
	served := k.serving.Load()
	if served == nil || k.secret.troubled() {
		return nil // without the Secret, the bundle may be out of date
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	var faults *multierror.Error
	synced := true
	for _, c := range k.configurations {
		if c.informer.HasSynced() {
			faults = multierror.Append(faults, c.publish(ctx, served.bundle(), k.options.Log))
		} else {
			synced = false
		}
	}
	if synced {
		k.missing()
	}
	if err := faults.ErrorOrNil(); err != nil || !synced {
		return err
	}
	k.mu.Lock()
	k.published = true
	k.mu.Unlock()
	return nil
}

// missing says which names are those of no configuration, once.
func (k *Keeper) missing() {
	for i, name := range k.options.Configurations {
		mutating, validating := k.configurations[2*i], k.configurations[2*i+1]
		absent := len(mutating.webhooks(mutating.object()))+len(validating.webhooks(validating.object())) == 0
		if absent && !k.absent[name] {
			k.options.Log.Warn().Str("name", name).
				Msg("no webhook configuration has this name, mutating or validating, or it has no webhooks: the API server asks us nothing by it; is the name right?")
		}
		k.absent[name] = absent
	}
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
