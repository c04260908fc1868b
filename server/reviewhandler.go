package server

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// maxLogged is the maximum length of a name or annotation in the log. They are not validated yet.
const maxLogged = 256

// reviewHandler is the part that Webhook and Validator share: it reads requests within the limits of the lanes,
// and sends their responses or refuses them. It is safe for concurrent use.
type reviewHandler struct {
	lanes       *Lanes
	metrics     *Metrics
	refused     prometheus.Counter // counts refusals among the outcomes of the webhook
	log         zerolog.Logger
	refusalLogs map[refusalCause]zerolog.Logger
	unsentLog   zerolog.Logger
	reviewLog   zerolog.Logger // logs reviews that were answered
	contentType []string       // shared by all responses
	buffers     *sync.Pool
}

func newReviewHandler(
	lanes *Lanes, metrics *Metrics, refused prometheus.Counter, log zerolog.Logger,
) reviewHandler {
	refusalLogs := make(map[refusalCause]zerolog.Logger)
	for _, cause := range refusalCauses() {
		refusalLogs[cause] = throttled(log, "refused requests, cause "+string(cause))
	}
	return reviewHandler{
		lanes: lanes, metrics: metrics, refused: refused, log: log, refusalLogs: refusalLogs,
		unsentLog: throttled(log, "responses that cannot be sent"),
		reviewLog: throttledReviews(log), contentType: []string{mediaType},
		buffers: &sync.Pool{New: func() any { return new(bytes.Buffer) }},
	}
}

// answer is a response in the buffer of its request.
type answer struct {
	uid    string
	record func(duration time.Duration) // counts and logs the review
}

// serve answers one request. review replaces the body in the buffer with a response, or returns an error if the
// request cannot be answered with an AdmissionReview.
func (h *reviewHandler) serve(
	w http.ResponseWriter, r *http.Request, review func(r *http.Request, f *inflight) (answer, error),
) {
	f := h.lanes.begin(w, r)
	f.buffer, _ = h.buffers.Get().(*bytes.Buffer)
	f.buffer.Reset()
	defer h.end(f)
	_ = f.holdIn(h.lanes.small, f.base) // an error is also that of the next call of hold
	err := f.receive(w, r)
	var done answer
	if err == nil {
		done, err = review(r, f)
	}
	if err != nil {
		h.refuse(w, r, f, err)
		return
	}
	h.send(w, r, f, done.uid)
	done.record(time.Since(f.start))
}

// end frees the buffer of the request and removes it from its lane.
func (h *reviewHandler) end(f *inflight) {
	h.dropBuffer(f)
	f.leave()
}

func (h *reviewHandler) dropBuffer(f *inflight) {
	if f.buffer != nil && f.buffer.Cap() <= maxPooled {
		poison(f.buffer)
		h.buffers.Put(f.buffer)
	}
	f.buffer = nil
}

// encode replaces the body in the buffer with the response. The buffer of a large body is dropped. The
// request is charged for the larger of the two.
func (h *reviewHandler) encode(f *inflight, response responseReview) error {
	if f.buffer.Cap() > maxPooled {
		h.dropBuffer(f)
		f.buffer = new(bytes.Buffer)
	}
	f.buffer.Reset()
	f.buffer.Grow(response.size())
	encoded, err := response.appendTo(f.buffer.AvailableBuffer())
	if err != nil {
		return err
	}
	f.buffer.Write(encoded)
	return f.hold(max(f.cost, f.base+int64(f.buffer.Cap()))) // names in the request may be as large as its body
}

// send writes the encoded response to the client.
func (h *reviewHandler) send(w http.ResponseWriter, r *http.Request, f *inflight, uid string) {
	err := f.write(func() error {
		w.Header()["Content-Type"] = h.contentType
		w.Header().Set("Content-Length", strconv.Itoa(f.buffer.Len()))
		_, err := f.buffer.WriteTo(w)
		return err
	})
	switch {
	case errors.Is(err, errOverload):
		h.refuse(w, r, f, err)
	case err != nil:
		h.unsentLog.Warn().Err(err).Str("uid", truncate(uid, maxLogged)).Str("remote", r.RemoteAddr).
			Msg("cannot send the response")
	}
}
