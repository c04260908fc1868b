package server

import (
	"bytes"
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

// NewWebhook makes the handler. The namespaces are nil where pods have nothing but their own
// requests, and the recorder where no events are wanted; nothing else may be.
func NewWebhook(snapshots Snapshots, namespaces Namespaces, policy *mutate.Policy, recorder Recorder, metrics *Metrics, log zerolog.Logger) *Webhook {
	refused := func() { metrics.reviewed(mutate.Denied, mutate.ReasonBadReview) }
	return &Webhook{intake: newIntake(refused, log), snapshots: snapshots, namespaces: namespaces, policy: policy, recorder: recorder, metrics: metrics}
}

// ServeHTTP answers one review. The answer is 200 with an AdmissionReview whenever the uid of
// the question could be read; else it is 400, 408, 413, 415 or 503 with a line of text.
func (h *Webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	h.metrics.inFlight.Inc()
	defer h.metrics.inFlight.Dec()

	x, err := h.receive(w, r, start)
	defer h.release(&x)
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	question, err := decodeReview(x.buffer.Bytes())
	if err != nil {
		h.reject(w, r, x.buffer, &question, err, start)
		return
	}
	if err := inTime(x.deadline); err != nil {
		h.refuse(w, r, err)
		return
	}
	decision := h.decide(r.Context(), question.Request, x.deadline)
	h.send(w, r, x.buffer, answerTo(&question, &decision))
	h.record(question.Request, &decision, time.Since(start))
}

// reject answers a review that cannot be decided: in its own terms where the uid is known.
func (h *Webhook) reject(w http.ResponseWriter, r *http.Request, buffer *bytes.Buffer, question *review, err error, start time.Time) {
	if question.Request == nil || question.Request.UID == "" {
		h.refuse(w, r, err)
		return
	}
	decision := mutate.Decision{
		Outcome: mutate.Denied, Reason: mutate.ReasonBadReview, Message: err.Error(),
		Generation: h.snapshots.Current().Generation(),
	}
	h.send(w, r, buffer, rejection(question, &decision))
	h.record(question.Request, &decision, time.Since(start))
}

// record counts and logs one review that was answered in its own terms, and tells the owner of
// the pod.
func (h *Webhook) record(request *mutate.Request, d *mutate.Decision, duration time.Duration) {
	h.metrics.decided(d, duration)
	h.tell(request, d)
	event := h.log.WithLevel(levelOf(d))
	if !event.Enabled() {
		return
	}
	event.Str("uid", clipped(request.UID, maxLogged)).
		Str("namespace", clipped(request.Namespace, maxLogged)).
		Str("name", clipped(request.DisplayName(), maxLogged)).
		Str("owner", clipped(request.Owner(), maxLogged)).
		Str("request", clipped(d.Asked, maxLogged)).
		Str("requested_by", string(d.AskedBy)).
		Str("outcome", string(d.Outcome)).
		Str("reason", string(d.Reason)).
		Strs("sidecars", refs(d)).
		Uint64("generation", d.Generation).
		Dur("duration", duration)
	if d.Message != "" {
		event.Str("detail", clipped(d.Message, maxMessage))
	}
	event.Msg("review")
}

// levelOf keeps quiet about pods that ask for nothing. One that asked and did not get it,
// though it was admitted, is what an operator looks for.
func levelOf(d *mutate.Decision) zerolog.Level {
	switch {
	case d.Outcome != mutate.Skipped:
		return zerolog.InfoLevel
	case d.Message != "":
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
