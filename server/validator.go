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
	// maxVerdict bounds the trials of a change and the wait for them, whatever the timeout of the client is.
	// It is shorter than the timeoutSeconds of the chart, so that the author gets the response.
	maxVerdict = 4 * time.Second
	// maxTrial bounds one trial, so that a slow one leaves time for those that wait.
	maxTrial = 2 * time.Second
	// retryWindow is how long a denied change is tried again. One `kubectl apply` may create a base and a
	// definition that inherits from it, and the base takes a moment to be watched, debounced and loaded.
	retryWindow  = time.Second
	pollInterval = 20 * time.Millisecond
)

// Definitions is the source of definitions in ConfigMaps. It must be safe for concurrent use.
type Definitions interface {
	// Selects reports whether a ConfigMap belongs to the source.
	Selects(configMap *corev1.ConfigMap) bool
	// Trouble returns why the source cannot be read now, so that the snapshot may lack ConfigMaps. It
	// returns nil if it can be read.
	Trouble() error
}

// Validator answers admission reviews of the ConfigMaps with definitions. It denies definitions that would
// be rejected and warns about definitions that a change would break. It is an http.Handler and safe for
// concurrent use.
type Validator struct {
	requestReader
	snapshots   Snapshots
	definitions Definitions
}

// NewValidator returns the handler. No argument may be nil.
func NewValidator(
	lanes *Lanes, snapshots Snapshots, definitions Definitions, metrics *Metrics, log zerolog.Logger,
) *Validator {
	refused := func() { metrics.validated(mutate.Denied) }
	return &Validator{
		requestReader: newRequestReader(lanes, metrics, refused, log),
		snapshots:     snapshots, definitions: definitions,
	}
}

// ServeHTTP answers one review. A denial takes up to retryWindow. Requests that are not reviews are
// refused as by Webhook.
func (v *Validator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := v.begin(w, r)
	defer v.end(f)
	var review *configMapReview
	err := f.receive(w, r)
	if err == nil {
		review, err = v.decode(r.Context(), f)
	}
	if err != nil {
		v.reject(w, r, f, review, err)
		return
	}
	result, err := v.validate(r.Context(), review, f)
	if err == nil {
		err = v.encode(f, result.respond(review))
	}
	if err != nil {
		v.refuse(w, r, f, err)
		return
	}
	review.dropObjects()
	v.send(w, r, f, review.UID)
	v.record(review, &result, time.Since(f.start))
}

// decode decodes the review in a slot of its lane, drops the body, and moves the request to the lane of
// trials. There, it is charged for the decoded review.
func (v *Validator) decode(ctx context.Context, f *inflight) (*configMapReview, error) {
	if err := f.acquire(ctx); err != nil {
		return nil, err
	}
	review, err := decodeConfigMapReview(f.buffer.Bytes(), v.definitions.Selects)
	v.dropBuffer(f)
	f.buffer = new(bytes.Buffer)
	if err != nil {
		f.release()
		return review, err
	}
	if err := f.enter(f.lanes.trials, f.base + review.size()); err != nil {
		return nil, err
	}
	return review, nil
}

// reject answers an invalid review. The response is an AdmissionReview if the uid is known.
func (v *Validator) reject(w http.ResponseWriter, r *http.Request, f *inflight, c *configMapReview, err error) {
	if c == nil {
		v.refuse(w, r, f, err)
		return
	}
	v.countRefusal(r, asRefusal(err))
	a := newResponse(c.apiVersion, c.UID, false, audit{Outcome: mutate.Denied, Reason: mutate.ReasonBadReview})
	a.Response.Status = failure(http.StatusBadRequest, truncate(err.Error(), maxMessage))
	if v.encode(f, a) == nil {
		v.send(w, r, f, c.UID)
	}
}

// validate tries the change on the current snapshot. Before it denies a change, it tries it again on
// newer snapshots. It returns an error if the client does not wait any longer.
func (v *Validator) validate(ctx context.Context, c *configMapReview, f *inflight) (validation, error) {
	served := c.old != nil && v.definitions.Selects(c.old)
	var documents []conf.Document
	if c.object != nil && v.definitions.Selects(c.object) {
		documents = conf.OfConfigMap(c.object)
	} else if !served {
		return validation{snapshot: v.snapshots.Current()}, nil
	}
	if verdict := time.Now().Add(maxVerdict); verdict.Before(f.deadline) {
		f.deadline = verdict
	}
	result, err := v.try(ctx, c, f, documents)
	if err != nil {
		return validation{}, v.trialError(f, err)
	}
	retrying, stop := context.WithTimeout(ctx, min(retryWindow, time.Until(f.deadline)/2))
	defer stop()
	for result.denied && v.awaitChange(retrying, f, result.snapshot) {
		if next, err := v.try(retrying, c, f, documents); err == nil {
			result = next
		}
	}
	// A base may be among the ConfigMaps that cannot be read. Documents that are invalid anyway are
	// quarantined when they are loaded.
	if result.trouble = v.definitions.Trouble(); result.trouble != nil {
		result.denied = false
	}
	return result, f.checkDeadline()
}

// awaitChange waits for another snapshot than the one of a trial. It returns false if ctx or the request ends.
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

// try tries the documents on the current snapshot. It takes the only slot of the lane of trials, because
// each trial loads all definitions, and many at once would delay the reviews of pods. It returns an error if
// ctx ends.
func (v *Validator) try(
	ctx context.Context, c *configMapReview, f *inflight, documents []conf.Document,
) (validation, error) {
	if err := f.acquire(ctx); err != nil {
		return validation{}, err
	}
	defer f.release()
	ctx, cancel := context.WithTimeout(ctx, min(maxTrial, time.Until(f.deadline)))
	defer cancel()
	snapshot := v.snapshots.Current()
	trial, err := snapshot.Try(ctx, c.Namespace, c.name(), documents)
	if err != nil {
		return validation{}, err
	}
	result := validation{faults: trial.Still, broken: trial.Broken, snapshot: snapshot}
	if len(trial.Rejected) > 0 {
		result.denied, result.faults = true, trial.Rejected
	}
	return result, nil
}

// trialError returns the refusal for the error of a trial.
func (v *Validator) trialError(f *inflight, err error) error {
	if v.logPanic(err) {
		return &refusal{http.StatusInternalServerError, refusedInternal, "cannot try the definitions: internal error"}
	}
	return f.endReason()
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
	v.metrics.validated(result.outcome())
	rejections := slices.Concat(result.faults, result.broken)
	for _, rejection := range rejections {
		for _, err := range rejection.Errors.Errors {
			v.logPanic(err)
		}
	}
	level := zerolog.DebugLevel
	if len(rejections) > 0 {
		level = zerolog.InfoLevel
	}
	v.reviews.event(level).AnErr("trouble", result.trouble).Str("uid", truncate(c.UID, maxLogged)).
		Str("namespace", truncate(c.Namespace, maxLogged)).
		Str("name", truncate(c.name(), maxLogged)).
		Str("operation", truncate(c.Operation, maxLogged)).
		Str("user", truncate(c.User.Name, maxLogged)).
		Str("outcome", string(result.outcome())).
		Strs("errors", messages(result.faults, maxFaults)).
		Strs("breaks", messages(result.broken, maxFaults)).
		Uint64("generation", result.snapshot.Generation()).
		Dur("duration", duration).
		Msg("definitions reviewed")
}
