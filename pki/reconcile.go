package pki

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/go-multierror"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/wait"
)

// writeTimeout limits the writes to the Secret, and the writes to all configurations.
const writeTimeout = 15 * time.Second

// work reconciles when it is woken and after each interval, and retries with backoff after a failure, until ctx ends.
func (c *Controller) work(ctx context.Context) {
	initial := wait.Backoff{Duration: 50 * time.Millisecond, Factor: 2, Steps: 20, Cap: 30 * time.Second}
	backoff := initial
	var timer <-chan time.Time // nil before the first event
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		case <-timer:
		}
		err := c.reconcile(ctx)
		if ctx.Err() != nil {
			return
		}
		c.setErr(err)
		if err != nil {
			timer = time.After(backoff.Step())
			continue
		}
		backoff = initial
		timer = time.After(c.interval())
	}
}

// interval returns the delay until the next reconciliation if nothing wakes the worker.
func (c *Controller) interval() time.Duration {
	if s := c.serving.Load(); s != nil && s.rotating {
		return c.options.propagation()
	}
	return min(time.Hour, c.options.Lifetime/60)
}

// setErr records the result of a reconciliation. It counts each failure, and logs a failure when its text changes.
// A conflict with another replica is not a failure.
func (c *Controller) setErr(err error) {
	if apierrors.IsConflict(err) {
		return
	}
	c.mu.Lock()
	before := c.err
	c.err = err
	c.mu.Unlock()
	if err != nil {
		c.options.Observe(false, time.Time{})
	}
	switch {
	case err != nil && (before == nil || before.Error() != err.Error()):
		event := c.options.Log.Error().Err(err)
		if several, ok := errors.AsType[*multierror.Error](err); ok {
			event.Errs("errors", several.Errors)
		}
		event.Msg("cannot update certificates; any certificate in service stays")
	case err == nil && before != nil:
		c.options.Log.Info().Msg("certificates can be updated again")
	}
}

// reconcile serves the certificate of the Secret, writes the caBundle, and then writes the next state to the Secret.
// In this order, a Secret that cannot be written affects neither handshakes nor the caBundle.
func (c *Controller) reconcile(ctx context.Context) error {
	now := time.Now()
	var data map[string][]byte
	secret, found := c.secret.Get(c.options.Secret.Name)
	if found {
		data = secret.Data
	}
	errs := &multierror.Error{ErrorFormat: oneLine}
	stored, invalid := decode(data, now)
	if stored != nil {
		c.serve(stored, now)
		errs = multierror.Append(errs, c.publish(ctx, stored, now))
	}
	served := c.serving.Load()
	propagated := c.current != "" && now.Sub(c.currentSince) >= c.options.propagation()
	next, change, err := c.options.next(stored, served, propagated, now)
	if err == nil && next != nil {
		err = c.write(ctx, secret, next, change, invalid)
	}
	errs = multierror.Append(errs, err)
	if stored == nil && served != nil && err != nil && !apierrors.IsConflict(err) {
		// Without a valid Secret, keep publishing the bundle of the certificate in service.
		errs = multierror.Append(errs, c.publish(ctx, served, now))
	}
	return errs.ErrorOrNil()
}

func oneLine(errs []error) string { return utilerrors.NewAggregate(errs).Error() }

// serve puts the certificate of the Secret into service, unless it has expired and is about to be renewed.
func (c *Controller) serve(stored *state, now time.Time) {
	leaf := stored.leaf.Leaf
	if !now.Before(leaf.NotAfter) {
		return
	}
	before := c.serving.Swap(stored)
	if before == nil || !before.leaf.Leaf.Equal(leaf) {
		c.logCertificate(leaf, "certificate loaded")
		c.options.Observe(true, leaf.NotAfter)
	}
}

// publish writes the bundle of s to all configurations, and records since when all have it.
func (c *Controller) publish(ctx context.Context, s *state, now time.Time) error {
	if c.secret.Err() != nil {
		c.current = ""
		return nil // the Secret may have changed
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	bundle := s.bundle()
	var errs *multierror.Error
	allCurrent := true
	for _, configuration := range c.configurations {
		current, err := configuration.publish(ctx, bundle, c.options.Log)
		errs = multierror.Append(errs, err)
		allCurrent = allCurrent && current
	}
	switch {
	case !allCurrent:
		c.current = ""
		return errs.ErrorOrNil()
	case c.current != string(bundle):
		c.current, c.currentSince = string(bundle), now
	}
	c.published.Store(true)
	c.logAbsent()
	return nil
}

// logAbsent logs names that have no webhooks, each once until it has some.
func (c *Controller) logAbsent() {
	absent := sets.New(c.options.Configurations...)
	for _, configuration := range c.configurations {
		if len(configuration.webhooks().caBundles) > 0 {
			absent.Delete(configuration.name)
		}
	}
	for name := range absent.Difference(c.absent) {
		c.options.Log.Warn().Str("name", name).Msg("webhook configuration not found, or without webhooks")
	}
	c.absent = absent
}
