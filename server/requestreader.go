package server

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// maxLogged is the maximal length of a name or annotation in the log. They are not validated yet.
const maxLogged = 256

// requestReader reads requests within the limits of the lanes and sends responses, for both webhooks.
// It is safe for concurrent use.
type requestReader struct {
	lanes    *Lanes
	metrics  *Metrics
	refused  prometheus.Counter // of the webhook
	log      zerolog.Logger
	refusals map[refusalCause]zerolog.Logger
	unsent   zerolog.Logger
	reviews  zerolog.Logger // logs reviews that were answered
	buffers  *sync.Pool
}

func newRequestReader(
	lanes *Lanes, metrics *Metrics, refused prometheus.Counter, log zerolog.Logger,
) requestReader {
	refusals := make(map[refusalCause]zerolog.Logger)
	for _, cause := range refusalCauses() {
		refusals[cause] = throttled(log, "refused requests, cause "+string(cause))
	}
	return requestReader{
		lanes: lanes, metrics: metrics, refused: refused, log: log, refusals: refusals,
		unsent:  throttled(log, "responses that cannot be sent"),
		reviews: throttledReviews(log),
		buffers: &sync.Pool{New: func() any { return new(bytes.Buffer) }},
	}
}

// answer is a response in the buffer of its request.
type answer struct {
	uid    string
	record func(duration time.Duration) // counts and logs the review
}

// serve answers one request. The function replaces its body in the buffer with a response, or returns an error
// if it cannot be answered with an AdmissionReview.
func (i *requestReader) serve(
	w http.ResponseWriter, r *http.Request, review func(r *http.Request, f *inflight) (answer, error),
) {
	f := i.lanes.begin(w, r)
	f.buffer, _ = i.buffers.Get().(*bytes.Buffer)
	f.buffer.Reset()
	defer i.end(f)
	_ = f.holdIn(i.lanes.small, f.base) // if it fails, so does the next call of hold
	err := f.receive(w, r)
	var done answer
	if err == nil {
		done, err = review(r, f)
	}
	if err != nil {
		i.refuse(w, r, f, err)
		return
	}
	i.send(w, r, f, done.uid)
	done.record(time.Since(f.start))
}

// end frees what the request holds.
func (i *requestReader) end(f *inflight) {
	i.dropBuffer(f)
	f.leave()
}

func (i *requestReader) dropBuffer(f *inflight) {
	if f.buffer != nil && f.buffer.Cap() <= maxPooled {
		i.buffers.Put(f.buffer)
	}
	f.buffer = nil
}

// encode replaces the body in the buffer with the response. The buffer of a large body is dropped. The
// request is charged for the larger of both.
func (i *requestReader) encode(f *inflight, response responseReview) error {
	if f.buffer.Cap() > maxPooled {
		i.dropBuffer(f)
		f.buffer = new(bytes.Buffer)
	}
	f.buffer.Reset()
	if err := json.MarshalWrite(f.buffer, response); err != nil {
		return err
	}
	return f.hold(max(f.cost, f.base+int64(f.buffer.Cap()))) // names in the request may be as large as its body
}

// send writes the encoded response to the client.
func (i *requestReader) send(w http.ResponseWriter, r *http.Request, f *inflight, uid string) {
	err := f.write(func() error {
		w.Header().Set("Content-Type", mediaType)
		w.Header().Set("Content-Length", strconv.Itoa(f.buffer.Len()))
		_, err := f.buffer.WriteTo(w)
		return err
	})
	switch {
	case errors.Is(err, errOverload):
		i.refuse(w, r, f, err)
	case err != nil:
		i.unsent.Warn().Err(err).Str("uid", truncate(uid, maxLogged)).Str("remote", r.RemoteAddr).
			Msg("cannot send the response")
	}
}
