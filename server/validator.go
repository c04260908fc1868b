package server

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/rs/zerolog"
	corev1 "k8s.io/api/core/v1"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/store"
)

const (
	// validationTimeout limits the trials of a change and the wait for them, even if the client waits longer. It
	// is shorter than the timeoutSeconds of the chart, so that the author gets the response.
	validationTimeout = 4 * time.Second
	// trialTimeout limits one trial, so that a slow one leaves time for the next.
	trialTimeout = 2 * time.Second
	// retryWindow is how long a change is tried again before it is denied. One `kubectl apply` may create a base
	// and a definition that inherits from it, and the base takes a moment to be watched, debounced and loaded.
	retryWindow  = time.Second
	pollInterval = 20 * time.Millisecond
)

// Definitions is the source of definitions in ConfigMaps. It must be safe for concurrent use.
type Definitions interface {
	// Selects reports whether a ConfigMap belongs to the source.
	Selects(configMap *corev1.ConfigMap) bool
	// Trouble returns why the source cannot be read now, nil if it can. Meanwhile, the snapshot may lack
	// ConfigMaps.
	Trouble() error
}

// Validator answers admission reviews of the ConfigMaps with definitions. It denies definitions that would
// be rejected and warns about definitions that a change would break. It is an http.Handler and safe for
// concurrent use.
type Validator struct {
	reviewHandler
	snapshots   Snapshots
	definitions Definitions
}

// NewValidator returns the handler. No argument may be nil.
func NewValidator(
	lanes *Lanes, snapshots Snapshots, definitions Definitions, metrics *Metrics, log zerolog.Logger,
) *Validator {
	return &Validator{
		reviewHandler: newReviewHandler(lanes, metrics, metrics.validationCounter(mutate.Denied), log),
		snapshots:     snapshots, definitions: definitions,
	}
}

// ServeHTTP answers one review. A denial takes at least retryWindow, or half of the remaining time if that is less.
// The status codes are those of Webhook, and 500 if a trial panics.
func (v *Validator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.serve(w, r, v.review)
}

func (v *Validator) review(r *http.Request, f *inflight) (answer, error) {
	c, err := v.decode(r.Context(), f)
	if c == nil {
		return answer{}, err
	}
	if err != nil {
		invalid := newResponseReview(c.apiVersion, response{
			UID: c.UID, Audit: audit{Outcome: mutate.Denied, Reason: mutate.ReasonBadReview},
			Status: failure(http.StatusBadRequest, truncate(err.Error(), maxMessage)),
		})
		return answer{c.UID, func(time.Duration) { v.countRefusal(r, asRefusal(err)) }}, v.encode(f, invalid)
	}
	result, err := v.validate(r.Context(), c, f)
	if err == nil {
		err = v.encode(f, result.buildResponse(c))
	}
	c.documents = nil
	return answer{c.UID, func(duration time.Duration) { v.record(c, &result, duration) }}, err
}

// decode decodes the review in a slot of its lane, drops the body, and moves the request to the lane of
// trials, where it is charged for the decoded review. If it returns both an error and a review, the review is
// invalid but can be answered.
func (v *Validator) decode(ctx context.Context, f *inflight) (*configMapReview, error) {
	if err := f.acquire(ctx); err != nil {
		return nil, err
	}
	c, err := decodeConfigMapReview(f.buffer.Bytes(), v.definitions.Selects)
	v.dropBuffer(f)
	f.buffer = new(bytes.Buffer)
	if err != nil {
		f.release()
		return c, err
	}
	if err := f.holdIn(f.lanes.trials, f.base+c.size()); err != nil {
		return nil, err
	}
	return c, nil
}

// validate tries the change on the current snapshot and, before it denies it, on newer ones. The error is a
// refusal.
func (v *Validator) validate(ctx context.Context, c *configMapReview, f *inflight) (validation, error) {
	if !c.selected {
		return validation{snapshot: v.snapshots.Current()}, nil
	}
	if limit := time.Now().Add(validationTimeout); limit.Before(f.deadline) {
		f.deadline = limit
	}
	result, err := v.try(ctx, c, f)
	if err != nil {
		return validation{}, err
	}
	retrying, stop := context.WithTimeout(ctx, min(retryWindow, time.Until(f.deadline)/2))
	defer stop()
	for len(result.trial.Rejected) > 0 && v.awaitChange(retrying, f, result.snapshot) {
		if next, err := v.try(retrying, c, f); err == nil {
			result = next
		}
	}
	result.trouble = v.definitions.Trouble()
	return result, nil
}

// awaitChange waits for a snapshot other than the one of a trial. It returns false if ctx or the request ends.
func (v *Validator) awaitChange(ctx context.Context, f *inflight, tried *store.Snapshot) bool {
	ctx, cancel := f.waitContext(ctx)
	defer cancel()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for v.snapshots.Current() == tried {
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
	return ctx.Err() == nil
}

// try loads the documents together with those of the current snapshot. It takes the only slot of the lane of
// trials, because each trial loads all definitions, and many at once would delay the reviews of pods. The error is
// a refusal.
func (v *Validator) try(ctx context.Context, c *configMapReview, f *inflight) (result validation, err error) {
	if err := f.acquire(ctx); err != nil {
		return result, err
	}
	defer f.release()
	ctx, cancel := context.WithTimeout(ctx, min(trialTimeout, time.Until(f.deadline)))
	defer cancel()
	result.snapshot = v.snapshots.Current()
	result.trial, err = result.snapshot.Try(ctx, c.Namespace, c.Name, c.documents)
	switch {
	case v.logPanic(err):
		err = refusalf(http.StatusInternalServerError, refusedInternal, "cannot try the definitions: internal error")
	case err != nil:
		err = errDeadline
	}
	return result, err
}

// logPanic logs the stack of a panic, and reports whether the error is one.
func (v *Validator) logPanic(err error) bool {
	panicked, ok := errors.AsType[*conf.PanicError](err)
	if ok {
		v.log.Error().Bytes("stack", panicked.Stack).Msg("trial load panicked")
	}
	return ok
}

// record counts and logs one change.
func (v *Validator) record(c *configMapReview, result *validation, duration time.Duration) {
	v.metrics.validationCounter(result.outcome()).Inc()
	level := zerolog.DebugLevel
	for _, rejection := range slices.Concat(result.faults(), result.trial.Broken) {
		v.logPanic(rejection.Errors)
		level = zerolog.InfoLevel
	}
	if result.outcome() == mutate.Denied {
		level = zerolog.WarnLevel
	}
	v.reviewLog.WithLevel(level).AnErr("trouble", result.trouble).Str("uid", truncate(c.UID, maxLogged)).
		Str("namespace", truncate(c.Namespace, maxLogged)).
		Str("name", truncate(c.Name, maxLogged)).
		Str("operation", truncate(c.Operation, maxLogged)).
		Str("user", truncate(c.User.Name, maxLogged)).
		Str("outcome", string(result.outcome())).
		Strs("errors", messages(result.faults(), maxFaults)).
		Strs("breaks", messages(result.trial.Broken, maxFaults)).
		Uint64("generation", result.snapshot.Generation()).
		Dur("duration", duration).
		Dur("duration_ms", duration).
		Msg("definitions reviewed")
}
