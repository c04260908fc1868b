package server

import (
	"context"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/store"
)

// Snapshots gives the snapshot to decide over. It must be safe for concurrent use and fast.
type Snapshots interface {
	Current() *store.Snapshot
}

// Webhook answers admission reviews of pods. It is an http.Handler and safe for concurrent use.
type Webhook struct {
	intake
	snapshots  Snapshots
	namespaces Namespaces // nil if pods have nothing but their own requests
	policy     *mutate.Policy
	recorder   Recorder // nil if nobody is to be told
	metrics    *Metrics
}

// NewWebhook returns the handler. The namespaces are nil if pods have nothing but their own requests,
// and the recorder is nil if no events are wanted; nothing else may be.
func NewWebhook(lanes *Lanes, snapshots Snapshots, namespaces Namespaces, policy *mutate.Policy, recorder Recorder, metrics *Metrics, log zerolog.Logger) *Webhook {
	refused := func() { metrics.reviewed(mutate.Denied, mutate.ReasonBadReview) }
	return &Webhook{
		intake:    newIntake(lanes, refused, log),
		snapshots: snapshots, namespaces: namespaces, policy: policy, recorder: recorder, metrics: metrics,
	}
}

// ServeHTTP answers one review. The answer is 200 with an AdmissionReview whenever the uid of
// the review could be read; else it is 400, 408, 413, 415 or 503 with a line of text.
func (h *Webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	h.metrics.inFlight.Inc()
	defer h.metrics.inFlight.Dec()

	x := h.begin(w, r, start)
	defer h.end(x)
	err := x.receive(w, r)
	var done reviewed
	if err == nil {
		done, err = h.answer(r.Context(), x)
	}
	if err != nil {
		h.refuse(w, r, x, err)
		return
	}
	h.send(w, r, x, done.request.UID)
	h.record(&done, time.Since(start))
}

// reviewed is what is left of a review when its response is encoded: enough to log and to count it.
type reviewed struct {
	request  *mutate.Request // without the pod, except for its names
	decision mutate.Decision // without sidecars and patch
	sidecars []string
}

// answer decides on the review in the buffer, and puts the response there. What it decodes is garbage
// when it returns, so that a client that does not read its response holds nothing else. It fails if
// the review cannot be answered in its own terms.
func (h *Webhook) answer(ctx context.Context, x *exchange) (reviewed, error) {
	if err := x.acquire(ctx); err != nil {
		return reviewed{}, err
	}
	defer x.release()
	question, err := decodeReview(x.buffer.Bytes())
	var decision mutate.Decision
	var response answer
	switch {
	case err == nil:
		if decision, err = h.decide(ctx, question.Request, x); err != nil {
			return reviewed{}, err
		}
		response = answerTo(&question, &decision)
	case question.Request == nil || question.Request.UID == "":
		return reviewed{}, err
	default:
		decision = mutate.Decision{
			Outcome: mutate.Denied, Reason: mutate.ReasonBadReview, Cause: err,
			Generation: h.snapshots.Current().Generation(),
		}
		response = rejection(&question, &decision)
	}
	err = h.encode(x, response)
	done := reviewed{request: question.Request.WithoutPod(), decision: decision, sidecars: refs(&decision)}
	done.decision.Sidecars, done.decision.Patch = nil, nil
	return done, err
}

// record counts and logs a review that was answered in its own terms, and records its Event. Lines
// are logged at a limited rate, that of bad reviews at a lower one.
func (h *Webhook) record(r *reviewed, duration time.Duration) {
	request, d := r.request, &r.decision
	h.metrics.decided(r, duration)
	h.tell(request, d)
	lines := h.reviews
	if d.Reason == mutate.ReasonBadReview {
		lines = h.refusals
	}
	event := lines.event(levelOf(d))
	if !event.Enabled() {
		return
	}
	event.Str("uid", clipped(request.UID, maxLogged)).
		Str("namespace", clipped(request.Namespace, maxLogged)).
		Str("name", clipped(request.DisplayName(), maxLogged)).
		Str("owner", clipped(request.Owner(), maxLogged)).
		Str("request", clipped(d.Request, maxLogged)).
		Str("requested_by", string(d.RequestedBy)).
		Str("outcome", string(d.Outcome)).
		Str("reason", string(d.Reason)).
		Strs("sidecars", r.sidecars).
		Uint64("generation", d.Generation).
		Dur("duration", duration)
	if d.Cause != nil {
		event.Str("detail", clipped(d.Message(), maxMessage))
	}
	event.Msg("review")
}

// levelOf keeps quiet about pods that ask for nothing. One that asked and did not get it,
// though it was admitted, is what an operator looks for.
func levelOf(d *mutate.Decision) zerolog.Level {
	switch {
	case d.Outcome != mutate.Skipped:
		return zerolog.InfoLevel
	case d.Cause != nil:
		return zerolog.WarnLevel
	default:
		return zerolog.DebugLevel
	}
}

func refs(d *mutate.Decision) []string {
	list := make([]string, len(d.Sidecars))
	for i, sidecar := range d.Sidecars {
		list[i] = sidecar.Ref.String()
	}
	return list
}
