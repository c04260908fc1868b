package pki

import (
	"context"
	"time"

	"github.com/hashicorp/go-multierror"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	// minRetry and maxRetry limit the delay after a failure.
	minRetry = 50 * time.Millisecond
	maxRetry = 30 * time.Second
	// resyncInterval is the maximum time between two reconciliations.
	resyncInterval = time.Hour
	// writeTimeout limits the writes to the Secret, and those to the configurations.
	writeTimeout = 15 * time.Second
)

// newBackoff returns the delays after failures.
func newBackoff() wait.Backoff {
	return wait.Backoff{Duration: minRetry, Factor: 2, Steps: 20, Cap: maxRetry}
}

// work reconciles when an event, a delay or a retry is due, until ctx ends.
func (c *Controller) work(ctx context.Context) {
	backoff := newBackoff()
	var timer <-chan time.Time // nil before the first event
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		case <-timer:
		}
		delay, err := c.reconcile(ctx)
		if ctx.Err() != nil {
			return
		}
		c.setErr(err)
		if err != nil {
			delay = backoff.Step()
		} else {
			backoff = newBackoff()
		}
		timer = time.After(delay)
	}
}

// setErr records the result of a reconciliation and counts each failure. It logs a failure once, until the
// error changes. A conflict with another replica is not a failure.
func (c *Controller) setErr(err error) {
	if apierrors.IsConflict(err) {
		return
	}
	c.mu.Lock()
	before := c.err
	c.err = err
	c.mu.Unlock()
	if err != nil {
		c.observe(false)
	}
	switch {
	case err != nil && (before == nil || before.Error() != err.Error()):
		c.options.Log.Error().Err(err).Msg("cannot update certificates; the certificate in service stays")
	case err == nil && before != nil:
		c.options.Log.Info().Msg("certificates can be updated again")
	}
}

// reconcile serves the certificate of the Secret, writes the caBundle, and then takes the next step of a
// rotation. In this order, a Secret that cannot be written affects neither handshakes nor the caBundle. It
// returns the delay until the next reconciliation if no event comes before.
func (c *Controller) reconcile(ctx context.Context) (delay time.Duration, err error) {
	var errs *multierror.Error
	now := time.Now()
	secret, held, invalid := c.read(now)
	if held != nil && now.Before(held.leaf.Leaf.NotAfter) {
		c.serve(held)
	}
	if held != nil {
		errs = multierror.Append(errs, c.publish(ctx))
	}
	seen := observed{now: now, propagated: c.propagated(held, now), last: c.serving.Load()}
	next, reason, err := c.spec.next(held, seen)
	delay = resyncInterval // a successful write has an event
	switch {
	case err == nil && next != nil:
		err = c.write(ctx, secret, next, reason, invalid)
	case err == nil:
		delay = c.delay(held, now)
	}
	errs = multierror.Append(errs, err)
	if held == nil && err != nil && !apierrors.IsConflict(err) {
		// Without a valid Secret, the bundle of the certificate in service is the latest.
		errs = multierror.Append(errs, c.publish(ctx))
	}
	return delay, errs.ErrorOrNil()
}

// read returns the Secret, nil if it does not exist, and its state, or why it is invalid.
func (c *Controller) read(now time.Time) (secret *corev1.Secret, held *state, invalid error) {
	secret, found := c.secret.Get(c.options.Secret.Name)
	if !found {
		return nil, nil, errAbsent
	}
	held, invalid = decode(secret.Data, now)
	return secret, held, invalid
}

// delay returns the time until the state is due to change. It adds a second, because times in certificates have
// no fractions.
func (c *Controller) delay(held *state, now time.Time) time.Duration {
	if c.secret.Err() != nil {
		return maxRetry
	}
	next := c.spec.nextChange(held).Add(time.Second)
	if !held.settled() && !c.currentSince.IsZero() {
		next = c.currentSince.Add(c.spec.propagation())
	}
	return max(minRetry, min(resyncInterval, next.Sub(now)))
}

// propagated reports whether all configurations have had the bundle long enough for API servers to use it.
func (c *Controller) propagated(held *state, now time.Time) bool {
	if held == nil {
		return false
	}
	bundle := held.bundle()
	for _, configuration := range c.configurations {
		w := configuration.webhooks()
		if !configuration.HasSynced() || len(w.outdated(bundle)) > 0 {
			c.current, c.currentSince = "", time.Time{}
			return false
		}
	}
	if c.current != string(bundle) {
		c.current, c.currentSince = string(bundle), now
	}
	return now.Sub(c.currentSince) >= c.spec.propagation()
}

// serve puts the certificate of the Secret into service.
func (c *Controller) serve(held *state) {
	before := c.serving.Swap(held)
	leaf := held.leaf.Leaf
	switch {
	case before == nil || !before.leaf.Leaf.Equal(leaf):
		c.reload.Store(false)
		c.logCertificate(leaf, "certificate loaded")
		c.observe(true)
	case c.reload.Swap(false):
		c.logCertificate(leaf, "certificate reloaded, no changes")
	}
}

// publish writes the bundle of the certificate in service to all configurations.
func (c *Controller) publish(ctx context.Context) error {
	served := c.serving.Load()
	if served == nil || c.secret.Err() != nil {
		return nil // the bundle may be outdated
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	var errs *multierror.Error
	synced := true
	for _, configuration := range c.configurations {
		if configuration.HasSynced() {
			errs = multierror.Append(errs, configuration.publish(ctx, served.bundle(), c.options.Log))
		} else {
			synced = false
		}
	}
	if synced {
		c.logAbsent()
	}
	if err := errs.ErrorOrNil(); err != nil || !synced {
		return err
	}
	c.mu.Lock()
	c.published = true
	c.mu.Unlock()
	return nil
}

// logAbsent logs names without webhooks, once.
func (c *Controller) logAbsent() {
	for i, name := range c.options.Configurations {
		mutating, validating := c.configurations[2*i].webhooks(), c.configurations[2*i+1].webhooks()
		absent := len(mutating.caBundles)+len(validating.caBundles) == 0
		if absent && !c.absent[name] {
			c.options.Log.Warn().Str("name", name).Msg("webhook configuration not found, or without webhooks")
		}
		c.absent[name] = absent
	}
}

func (c *Controller) observe(ok bool) {
	if c.options.Observe == nil {
		return
	}
	var notAfter time.Time
	if s := c.serving.Load(); s != nil {
		notAfter = s.leaf.Leaf.NotAfter
	}
	c.options.Observe(ok, notAfter)
}
