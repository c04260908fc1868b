package server

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"k8s-sidecar-injector/mutate"
)

// The outcomes of reviews of workloads, besides allowed.
const (
	warned        mutate.Outcome = "warned"
	refusedReview mutate.Outcome = "refused"
)

// WorkloadWebhook answers admission reviews of workloads, the objects with a pod template. It allows all of them, and
// warns of mistakes that leave their pods without sidecars. It is an http.Handler and safe for concurrent use.
type WorkloadWebhook struct {
	reviewHandler
	decider
}

// NewWorkloadWebhook returns the handler. namespaces is nil if namespaces have no defaults. No other argument may be
// nil.
func NewWorkloadWebhook(
	lanes *Lanes, snapshots Snapshots, namespaces Namespaces, policy *mutate.Policy, metrics *Metrics, log zerolog.Logger,
) *WorkloadWebhook {
	return &WorkloadWebhook{
		reviewHandler: newReviewHandler(lanes, metrics, metrics.workloadCounter(refusedReview), log),
		decider:       decider{snapshots, namespaces, policy},
	}
}

// ServeHTTP answers one review. The status codes are those of Webhook.
func (h *WorkloadWebhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, h.review)
}

func (h *WorkloadWebhook) review(r *http.Request, f *inflight) (answer, error) {
	if err := f.acquire(r.Context()); err != nil {
		return answer{}, err
	}
	defer f.release()
	c, err := decodeWorkloadReview(f.buffer.Bytes())
	if err != nil {
		return answer{}, err
	}
	result, err := h.check(r.Context(), c, f)
	if err != nil {
		return answer{}, err
	}
	err = h.encode(f, result.buildResponse(c))
	return answer{c.UID, func(duration time.Duration) { h.record(c, result, duration) }}, err
}

// workloadResult is the result of a review of a workload.
type workloadResult struct {
	reason     mutate.Reason // of the decision about a pod; empty if there is none
	generation uint64
	warnings   []string
	err        error // why the workload cannot be reviewed
}

func (r *workloadResult) outcome() mutate.Outcome {
	if len(r.warnings) > 0 {
		return warned
	}
	return allowed
}

// check decides about a pod of the workload. It drops the objects. The error is a refusal.
func (h *WorkloadWebhook) check(ctx context.Context, c *workloadReview, f *inflight) (*workloadResult, error) {
	workload, request, err := c.decodeChange(h.policy)
	c.Object, c.OldObject = nil, nil
	generation := h.snapshots.Current().Generation()
	if _, ok := errors.AsType[*mutate.LimitError](err); ok && workload != nil {
		return newWorkloadResult(&mutate.Decision{
			Outcome: mutate.Denied, Reason: mutate.ReasonBadReview, Cause: describe(err), Generation: generation,
		}, nil), nil
	}
	if err != nil || request == nil {
		return &workloadResult{generation: generation, err: err}, nil //nolint:nilerr // such a workload is allowed
	}
	decision, err := h.decide(ctx, request, f)
	return newWorkloadResult(&decision, workload.Misplaced(h.policy, &request.Object)), err
}

// newWorkloadResult returns warnings about the decision, unless it may be another one when the pods are created, and
// about misplaced annotations.
func newWorkloadResult(d *mutate.Decision, misplaced []string) *workloadResult {
	var texts []string
	switch {
	case d.Outcome == mutate.Denied:
		texts = append(texts, "the pods would be denied: "+reasonMessage(d))
	case d.Cause != nil && d.Reason != mutate.ReasonNamespaceUnavailable:
		texts = append(texts, "the pods would be admitted "+admitted(d)+": "+reasonMessage(d))
	}
	texts = slices.Concat(texts, d.Warnings, misplaced)
	for i, text := range texts {
		texts[i] = warning(text)
	}
	return &workloadResult{reason: d.Reason, generation: d.Generation, warnings: texts}
}

func (r *workloadResult) buildResponse(c *workloadReview) responseReview {
	return newResponseReview(c.apiVersion, response{
		UID: c.UID, Allowed: true, Warnings: r.warnings,
		Audit: audit{Outcome: r.outcome(), Reason: r.reason, Generation: strconv.FormatUint(r.generation, 10)},
	})
}

// record counts and logs one review.
func (h *WorkloadWebhook) record(c *workloadReview, r *workloadResult, duration time.Duration) {
	h.metrics.workloadCounter(r.outcome()).Inc()
	level := zerolog.DebugLevel
	if r.outcome() == warned {
		level = zerolog.InfoLevel
	}
	h.reviewLog.WithLevel(level).AnErr("error", r.err).Str("uid", truncate(c.UID, maxLogged)).
		Str("namespace", truncate(c.Namespace, maxLogged)).
		Str("name", truncate(c.Name, maxLogged)).
		Str("kind", truncate(c.Kind.Kind, maxLogged)).
		Str("operation", truncate(c.Operation, maxLogged)).
		Str("user", truncate(c.User.Name, maxLogged)).
		Str("outcome", string(r.outcome())).
		Str("reason", string(r.reason)).
		Strs("warnings", r.warnings).
		Uint64("generation", r.generation).
		Dur("duration", duration).
		Dur("duration_ms", duration).
		Msg("workload reviewed")
}
