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
	// patience is how long what was applied just before may take to get into a snapshot: it is
	// watched, settles, and is loaded. Somebody may apply a base and what inherits from it at once.
	patience = time.Second
	// maxVerdict bounds the trials of a change and the wait for their turns, whatever the client says. It is
	// shorter than the timeoutSeconds of the chart, so that the author gets the answer.
	maxVerdict = 4 * time.Second
	// maxTrial bounds one trial, so that a slow one leaves time for those that wait.
	maxTrial = 2 * time.Second
	// glance is how often a new snapshot is looked for meanwhile.
	glance = 20 * time.Millisecond
)

// Definitions are the ConfigMaps whose definitions are served. It must be safe for concurrent
// use.
type Definitions interface {
	// Selects tells whether a ConfigMap is one of them.
	Selects(configMap *corev1.ConfigMap) bool
	// Trouble is why they cannot be followed now, so that the snapshot may lack some; nil if all
	// is well.
	Trouble() error
}

// Validator answers admission reviews of the ConfigMaps that hold definitions: it denies what
// would be rejected when it is loaded, and warns of what would break others. It is an
// http.Handler and safe for concurrent use.
type Validator struct {
	intake
	snapshots   Snapshots
	definitions Definitions
	metrics     *Metrics
}

// NewValidator returns the handler. Nothing may be nil.
func NewValidator(lanes *Lanes, snapshots Snapshots, definitions Definitions, metrics *Metrics, log zerolog.Logger) *Validator {
	refused := func() { metrics.validated(mutate.Denied) }
	return &Validator{
		intake:    newIntake(lanes, refused, log),
		snapshots: snapshots, definitions: definitions,
		metrics: metrics,
	}
}

// ServeHTTP answers one review. A denial may take a second, in which what the definitions need
// may still come. What is no review at all is refused as by Webhook.
func (v *Validator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	x := v.begin(w, r, start)
	defer v.end(x)
	var question *change
	err := x.receive(w, r)
	if err == nil {
		question, err = v.decode(r.Context(), x)
	}
	if err != nil {
		v.reject(w, r, x, question, err)
		return
	}
	verdict, err := v.judge(r.Context(), question, x)
	if err == nil {
		err = v.encode(x, verdict.answer(question))
	}
	if err != nil {
		v.refuse(w, r, x, err)
		return
	}
	question.forget()
	v.send(w, r, x, question.UID)
	v.record(question, &verdict, time.Since(start))
}

// decode decodes the review in a slot of its lane, drops the body, and moves the exchange to the lane of
// trials. There, it is charged for what was decoded.
func (v *Validator) decode(ctx context.Context, x *exchange) (*change, error) {
	if err := x.acquire(ctx); err != nil {
		return nil, err
	}
	question, err := decodeChange(x.buffer.Bytes(), v.definitions.Selects)
	v.dropBuffer(x)
	x.buffer = new(bytes.Buffer)
	if err != nil {
		x.release()
		return question, err
	}
	if err := x.enterTrial(x.base + question.size()); err != nil {
		return nil, err
	}
	return question, nil
}

// reject answers a review that cannot be decided: in its own terms if its uid is known.
func (v *Validator) reject(w http.ResponseWriter, r *http.Request, x *exchange, c *change, err error) {
	if c == nil || c.UID == "" {
		v.refuse(w, r, x, err)
		return
	}
	v.note(r, err, http.StatusBadRequest)
	a := newAnswer(c.version, c.UID, false, audit{Outcome: mutate.Denied, Reason: mutate.ReasonBadReview})
	a.Response.Status = failure(http.StatusBadRequest, "BadRequest", err.Error())
	if v.encode(x, a) == nil {
		v.send(w, r, x, c.UID)
	}
}

// verdict is what to say of a change.
type verdict struct {
	denied   bool
	faults   []conf.Rejection // of the ConfigMap itself: why it is denied, else what is as wrong as before
	broken   []conf.Rejection // of others
	trouble  error            // why none of that is certain
	snapshot *store.Snapshot
}

// judge tries the change on the current snapshot, and before it denies on those that come soon. It
// fails if that takes longer than the client waits.
func (v *Validator) judge(ctx context.Context, c *change, x *exchange) (verdict, error) {
	before, after := c.before(v.definitions.Selects), c.after(v.definitions.Selects)
	if !before && !after {
		return verdict{snapshot: v.snapshots.Current()}, nil
	}
	ctx, stop := x.waitContext(ctx)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, maxVerdict)
	defer cancel()
	try := v.trial(c, x, after)
	result, err := try(ctx, v.snapshots.Current())
	if err != nil {
		return verdict{}, v.failed(x, err)
	}
	if result.denied {
		ctx, cancel := context.WithTimeout(ctx, within(x.deadline))
		defer cancel()
		result = v.tryAgain(ctx, result, try)
	}
	// Of what we cannot read, anything may be missing: what gets in is quarantined when it is read.
	if result.trouble = v.definitions.Trouble(); result.trouble != nil {
		result.denied = false
	}
	return result, inTime(x.deadline)
}

// failed returns the error to refuse a review with whose trial failed.
func (v *Validator) failed(x *exchange, err error) error {
	if v.logPanic(err) {
		return &httpError{http.StatusInternalServerError, "the definitions could not be tried: internal error"}
	}
	return x.ended()
}

// logPanic logs the stack of a panic, and reports whether the error is one.
func (v *Validator) logPanic(err error) bool {
	panicked, ok := errors.AsType[*conf.PanicError](err)
	if ok {
		v.log.Error().Bytes("stack", panicked.Stack).Msg("trial load panicked")
	}
	return ok
}

// trial tries a change on a snapshot. It fails if ctx ends before it is done.
type trial func(context.Context, *store.Snapshot) (verdict, error)

// trial returns the trial of a change. It takes the only slot of the lane of trials: each trial loads all
// definitions. One at a time is enough for authors, and bounds what changes cost the reviews of pods.
func (v *Validator) trial(c *change, x *exchange, after bool) trial {
	return func(ctx context.Context, snapshot *store.Snapshot) (verdict, error) {
		if err := x.acquire(ctx); err != nil {
			return verdict{}, err
		}
		defer x.release()
		ctx, cancel := context.WithTimeout(ctx, maxTrial)
		defer cancel()
		var documents []conf.Document
		if after {
			documents = conf.OfConfigMap(c.object)
		}
		trial, err := snapshot.Try(ctx, c.Namespace, c.name(), documents)
		if err != nil {
			return verdict{}, err
		}
		if len(trial.Rejected) == 0 {
			return verdict{faults: trial.Still, broken: trial.Broken, snapshot: snapshot}, nil
		}
		return verdict{denied: true, faults: trial.Rejected, broken: trial.Broken, snapshot: snapshot}, nil
	}
}

// within is the time to wait: half of what is left at most, so that the answer arrives.
func within(deadline time.Time) time.Duration {
	if deadline.IsZero() {
		return patience
	}
	return min(patience, time.Until(deadline)/2)
}

// tryAgain tries each new snapshot until ctx ends or nothing is denied.
func (v *Validator) tryAgain(ctx context.Context, result verdict, try trial) verdict {
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	for result.denied {
		select {
		case <-ctx.Done():
			return result
		case <-ticker.C:
		}
		now := v.snapshots.Current()
		if now == result.snapshot {
			continue
		}
		if next, err := try(ctx, now); err == nil {
			result = next
		}
	}
	return result
}

// record counts and logs one change.
func (v *Validator) record(c *change, d *verdict, duration time.Duration) {
	v.metrics.validated(d.outcome())
	for _, rejection := range slices.Concat(d.faults, d.broken) {
		for _, err := range rejection.Errors.Errors {
			v.logPanic(err)
		}
	}
	level := zerolog.DebugLevel
	if len(d.faults)+len(d.broken) > 0 {
		level = zerolog.InfoLevel
	}
	v.reviews.event(level).AnErr("trouble", d.trouble).Str("uid", clipped(c.UID, maxLogged)).
		Str("namespace", clipped(c.Namespace, maxLogged)).
		Str("name", clipped(c.name(), maxLogged)).
		Str("operation", clipped(c.Operation, maxLogged)).
		Str("user", clipped(c.User.Name, maxLogged)).
		Str("outcome", string(d.outcome())).
		Strs("errors", messages(d.faults)).
		Strs("breaks", messages(d.broken)).
		Uint64("generation", d.snapshot.Generation()).
		Dur("duration", duration).
		Msg("definitions reviewed")
}

func (d *verdict) outcome() mutate.Outcome {
	if d.denied {
		return mutate.Denied
	}
	return allowed
}
