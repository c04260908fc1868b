package server

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/rs/zerolog"

	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/store"
)

// maxLogged keeps a name or annotation of any length from filling the log: none of the pod
// was validated yet.
const maxLogged = 256

// Snapshots gives the snapshot to decide over. It must be safe for concurrent use and fast.
type Snapshots interface {
	Current() *store.Snapshot
}

// Webhook answers admission reviews. It is an http.Handler and safe for concurrent use.
type Webhook struct {
	snapshots Snapshots
	policy    *mutate.Policy
	metrics   *Metrics
	log       zerolog.Logger
	buffers   sync.Pool
	memory    budget
}

// NewWebhook makes the handler. Nothing may be nil.
func NewWebhook(snapshots Snapshots, policy *mutate.Policy, metrics *Metrics, log zerolog.Logger) *Webhook {
	return &Webhook{
		snapshots: snapshots, policy: policy, metrics: metrics, log: log,
		buffers: sync.Pool{New: func() any { return new(bytes.Buffer) }},
		memory:  budget{most: maxBodies},
	}
}

// ServeHTTP answers one review. The answer is 200 with an AdmissionReview whenever the uid of
// the question could be read; else it is 400, 408, 413, 415 or 503 with a line of text.
func (h *Webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	h.metrics.inFlight.Inc()
	defer h.metrics.inFlight.Dec()

	buffer, _ := h.buffers.Get().(*bytes.Buffer)
	buffer.Reset()
	defer h.recycle(buffer)
	body := metered{budget: &h.memory, reader: r.Body}
	defer body.release()
	deadline, err := readBody(w, r, &body, buffer, start)
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	question, err := decodeReview(buffer.Bytes())
	if err != nil {
		h.reject(w, r, buffer, &question, err, start)
		return
	}
	if err := inTime(deadline); err != nil {
		h.refuse(w, r, err)
		return
	}
	decision := mutate.Pod(h.snapshots.Current(), h.policy, question.Request)
	h.send(w, r, buffer, answerTo(&question, &decision))
	h.record(question.Request, &decision, time.Since(start))
}

func (h *Webhook) recycle(buffer *bytes.Buffer) {
	if buffer.Cap() <= maxPooled {
		h.buffers.Put(buffer)
	}
}

// refuse answers what is not a review at all.
func (h *Webhook) refuse(w http.ResponseWriter, r *http.Request, err error) {
	code := http.StatusBadRequest
	if e, ok := errors.AsType[*httpError](err); ok {
		code = e.code
	}
	text := clipped(err.Error(), maxMessage)
	h.metrics.reviewed(mutate.Denied, mutate.ReasonBadReview)
	h.log.Warn().Str("error", text).Int("code", code).Str("remote", r.RemoteAddr).
		Str("reason", string(mutate.ReasonBadReview)).Msg("request refused: is this an API server?")
	http.Error(w, text, code)
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

// send writes the answer by way of the buffer that held the question, of which nothing is
// referred to any more: what was decoded are copies.
func (h *Webhook) send(w http.ResponseWriter, r *http.Request, buffer *bytes.Buffer, a answer) {
	buffer.Reset()
	err := json.MarshalWrite(buffer, a)
	if err == nil {
		w.Header().Set("Content-Type", mediaType)
		w.Header().Set("Content-Length", strconv.Itoa(buffer.Len()))
		_, err = w.Write(buffer.Bytes())
	}
	if err != nil {
		h.log.Warn().Err(err).Str("uid", clipped(a.Response.UID, maxLogged)).Str("remote", r.RemoteAddr).Msg("the answer could not be sent")
	}
}

// record counts and logs one review that was answered in its own terms.
func (h *Webhook) record(request *mutate.Request, d *mutate.Decision, duration time.Duration) {
	h.metrics.decided(d, duration)
	event := h.log.WithLevel(levelOf(d))
	if !event.Enabled() {
		return
	}
	event.Str("uid", clipped(request.UID, maxLogged)).
		Str("namespace", clipped(request.Namespace, maxLogged)).
		Str("name", clipped(request.DisplayName(), maxLogged)).
		Str("owner", clipped(request.Owner(), maxLogged)).
		Str("request", clipped(d.Asked, maxLogged)).
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
