package server

import (
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/mutate/jsonview"
	"k8s-sidecar-injector/store"
)

// Snapshots returns the snapshot in service. It must be fast and safe for concurrent use.
type Snapshots interface {
	Current() *store.Snapshot
}

// Webhook answers admission reviews of pods. It is an http.Handler and safe for concurrent use.
type Webhook struct {
	reviewHandler
	decider
	view         jsonview.View[review]
	recorder     Recorder // nil if no Events are recorded
	badReviewLog zerolog.Logger
}

// NewWebhook returns the handler. namespaces is nil if namespaces have no defaults, and recorder is nil if no
// Events are recorded. No other argument may be nil.
func NewWebhook(
	lanes *Lanes, snapshots Snapshots, namespaces Namespaces, policy *mutate.Policy, recorder Recorder,
	metrics *Metrics, log zerolog.Logger,
) *Webhook {
	return &Webhook{
		reviewHandler: newReviewHandler(lanes, metrics, metrics.reviewCounter(mutate.Denied, mutate.ReasonBadReview), log),
		decider:       decider{snapshots, namespaces, policy}, view: jsonview.Of[review](), recorder: recorder,
		badReviewLog: throttled(log, "bad reviews"),
	}
}

// ServeHTTP answers one review. The response is 200 with an AdmissionReview if the uid of the review can
// be decoded; otherwise it is 400, 408, 413, 415 or 503 with a line of text.
func (h *Webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.metrics.inFlight.Inc()
	defer h.metrics.inFlight.Dec()
	h.serve(w, r, h.review)
}

// reviewRecord has what logs and metrics need of a review after its response was sent.
type reviewRecord struct {
	request  *mutate.Request // without the pod, except for its names
	decision mutate.Decision // without sidecars, patch and warnings
	// sidecars are the injected ones. notInjected are those in service that were requested, but not injected.
	sidecars, notInjected []string
}

// review decides about the review in the buffer and replaces it with the response. It keeps nothing that it
// decoded except the reviewRecord, so that a client that does not read its response holds little memory.
func (h *Webhook) review(request *http.Request, f *inflight) (answer, error) {
	if err := f.acquire(request.Context()); err != nil {
		return answer{}, err
	}
	defer f.release()
	r, err := decodeReview(f.buffer.Bytes(), h.view)
	if err != nil && r.Request.UID == "" {
		return answer{}, err
	}
	r.Request.DecodeObject = func(view any) error { return decodeObject(f.buffer.Bytes(), view) }
	var decision mutate.Decision
	if err != nil {
		decision = mutate.Decision{
			Outcome: mutate.Denied, Reason: mutate.ReasonBadReview, Cause: err,
			Generation: h.snapshots.Current().Generation(),
		}
	} else if decision, err = h.decide(request.Context(), &r.Request, f); err != nil {
		return answer{}, err
	}
	patch := decision.Patch
	if patch == nil {
		patch = h.policy.SkipPatch(&r.Request.Object, &decision)
	}
	err = h.encode(f, r.buildResponse(&decision, patch))
	done := reviewRecord{
		request: r.Request.WithoutPod(), decision: decision,
		sidecars: refs(decision.Sidecars), notInjected: refs(decision.NotInjected),
	}
	done.decision.Sidecars, done.decision.NotInjected = nil, nil
	done.decision.Patch, done.decision.Warnings = nil, nil
	return answer{r.Request.UID, func(duration time.Duration) { h.record(&done, duration) }}, err
}

// record counts and logs a review, and records its Event. The rate of lines is limited, and lower for bad reviews.
func (h *Webhook) record(r *reviewRecord, duration time.Duration) {
	request, d := r.request, &r.decision
	h.metrics.countReview(r, duration)
	h.recordEvent(request, d)
	lines := h.reviewLog
	if d.Reason == mutate.ReasonBadReview {
		lines = h.badReviewLog
	}
	event := lines.WithLevel(levelOf(d))
	if !event.Enabled() {
		return
	}
	event.Str("uid", truncate(request.UID, maxLogged)).
		Str("namespace", truncate(request.Namespace, maxLogged)).
		Str("name", truncate(request.DisplayName(), maxLogged)).
		Str("owner", truncate(request.Owner(), maxLogged)).
		Str("request", truncate(d.Request, maxLogged)).
		Str("requested_by", string(d.RequestedBy)).
		Str("outcome", string(d.Outcome)).
		Str("reason", string(d.Reason)).
		Strs("sidecars", r.sidecars).
		Uint64("generation", d.Generation).
		Dur("duration", duration).
		Dur("duration_ms", duration)
	if d.Cause != nil {
		event.Str("detail", truncate(d.Message(), maxMessage))
	}
	event.Msg("review")
}

// levelOf returns the level of the log line: warn if a request for sidecars, or the pod itself, is refused. Pods that
// do not request sidecars are logged at debug.
func levelOf(d *mutate.Decision) zerolog.Level {
	switch {
	case d.Outcome == mutate.Injected:
		return zerolog.InfoLevel
	case d.Outcome == mutate.Denied, d.Cause != nil:
		return zerolog.WarnLevel
	default:
		return zerolog.DebugLevel
	}
}

func refs(sidecars []*conf.Sidecar) []string {
	list := make([]string, len(sidecars))
	for i, sidecar := range sidecars {
		list[i] = sidecar.Ref.String()
	}
	return list
}
