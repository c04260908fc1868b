package server

import (
	"context"
	"maps"
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
	// glance is how often a new snapshot is looked for meanwhile.
	glance = 20 * time.Millisecond
)

// Validator answers admission reviews of the ConfigMaps that hold definitions: it denies what
// would be rejected when it is loaded, and warns of what would break others. It is an
// http.Handler and safe for concurrent use.
type Validator struct {
	intake
	snapshots Snapshots
	selects   func(*corev1.ConfigMap) bool
}

// NewValidator makes the handler. The function tells whether a ConfigMap is one whose
// definitions are served; it must be safe for concurrent use. Nothing may be nil.
func NewValidator(snapshots Snapshots, selects func(*corev1.ConfigMap) bool, metrics *Metrics, log zerolog.Logger) *Validator {
	return &Validator{intake: newIntake(metrics, log), snapshots: snapshots, selects: selects}
}

// ServeHTTP answers one review. A denial may take a second, in which what the definitions need
// may still come. What is no review at all is refused as by Webhook.
func (v *Validator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	x, err := v.receive(w, r, start)
	defer v.release(&x)
	if err != nil {
		v.refuse(w, r, err)
		return
	}
	question, err := decodeChange(x.buffer.Bytes())
	if err != nil {
		v.refuse(w, r, err)
		return
	}
	verdict := v.judge(r.Context(), question, x.deadline)
	v.send(w, r, x.buffer, verdict.answer(question))
	v.record(question, &verdict, time.Since(start))
}

// verdict is what to say of a change.
type verdict struct {
	denied   bool
	faults   []conf.Rejection // of the ConfigMap itself
	broken   []conf.Rejection // of others
	snapshot *store.Snapshot
}

// judge tries the change on the current snapshot, and before it denies on those that come soon.
func (v *Validator) judge(ctx context.Context, c *change, deadline time.Time) verdict {
	before, after := c.before(v.selects), c.after(v.selects)
	snapshot := v.snapshots.Current()
	if !before && !after {
		return verdict{snapshot: snapshot}
	}
	var documents []conf.Document
	if after {
		documents = conf.OfConfigMap(c.object)
	}
	// Who only labels or annotates what is wrong already makes nothing worse.
	lenient := before && after && sameContent(c.old, c.object)
	try := func(snapshot *store.Snapshot) verdict {
		trial := snapshot.Try(c.Namespace, c.name(), documents)
		return verdict{denied: len(trial.Rejected) > 0 && !lenient, faults: trial.Rejected, broken: trial.Broken, snapshot: snapshot}
	}
	result := try(snapshot)
	if result.denied {
		ctx, cancel := context.WithTimeout(ctx, within(deadline))
		defer cancel()
		result = v.tryAgain(ctx, result, try)
	}
	return result
}

// within is the time to wait: half of what is left at most, so that the answer arrives.
func within(deadline time.Time) time.Duration {
	if deadline.IsZero() {
		return patience
	}
	return min(patience, time.Until(deadline)/2)
}

// tryAgain tries each new snapshot until ctx ends or nothing is denied.
func (v *Validator) tryAgain(ctx context.Context, result verdict, try func(*store.Snapshot) verdict) verdict {
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	for result.denied {
		select {
		case <-ctx.Done():
			return result
		case <-ticker.C:
		}
		if now := v.snapshots.Current(); now != result.snapshot {
			result = try(now)
		}
	}
	return result
}

func sameContent(a, b *corev1.ConfigMap) bool {
	return maps.Equal(a.Data, b.Data) && maps.EqualFunc(a.BinaryData, b.BinaryData, slices.Equal[[]byte])
}

// record counts and logs one change.
func (v *Validator) record(c *change, d *verdict, duration time.Duration) {
	v.metrics.validated(d.outcome())
	level := zerolog.DebugLevel
	if len(d.faults)+len(d.broken) > 0 {
		level = zerolog.InfoLevel
	}
	v.log.WithLevel(level).Str("uid", clipped(c.UID, maxLogged)).
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
