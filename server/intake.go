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
)

// maxLogged keeps a name or annotation of any length from filling the log: none of the object
// was validated yet.
const maxLogged = 256

// intake is what the webhooks have in common: it reads requests within the limits of the lanes, and
// sends responses. It is safe for concurrent use.
type intake struct {
	refused  func() // counts requests that are no review
	log      zerolog.Logger
	refusals *throttle // logs what any client can cause
	reviews  *throttle // logs reviews that were answered
	buffers  *sync.Pool
	lanes    *Lanes
}

func newIntake(lanes *Lanes, refused func(), log zerolog.Logger) intake {
	return intake{
		refused: refused, log: log, refusals: newThrottle(log), reviews: newReviewThrottle(log), lanes: lanes,
		buffers: &sync.Pool{New: func() any { return new(bytes.Buffer) }},
	}
}

// begin starts an exchange in the small lane. It must be ended.
func (i *intake) begin(w http.ResponseWriter, r *http.Request, start time.Time) *exchange {
	client, _ := r.Context().Value(connectionKey{}).(*connection)
	x := &exchange{
		lanes: i.lanes, control: http.NewResponseController(w), client: client, start: start, base: baseCost(r),
		buffer: i.newBuffer(),
	}
	_ = x.enter(&i.lanes.small, x.base) // if that fails, so does the next call of hold
	return x
}

// end frees what the exchange holds.
func (i *intake) end(x *exchange) {
	i.dropBuffer(x)
	x.leave()
}

func (i *intake) newBuffer() *bytes.Buffer {
	buffer, _ := i.buffers.Get().(*bytes.Buffer)
	buffer.Reset()
	return buffer
}

func (i *intake) dropBuffer(x *exchange) {
	if x.buffer != nil && x.buffer.Cap() <= maxPooled {
		i.buffers.Put(x.buffer)
	}
	x.buffer = nil
}

// encode puts the response in the place of the request's body, to which nothing refers any more: what
// was decoded are copies. The buffer of a large body is dropped. The exchange is charged for the larger
// of both.
func (i *intake) encode(x *exchange, a answer) error {
	if x.buffer.Cap() > maxPooled {
		i.dropBuffer(x)
		x.buffer = new(bytes.Buffer)
	}
	x.buffer.Reset()
	if err := json.MarshalWrite(x.buffer, a); err != nil {
		return err
	}
	return x.hold(max(x.cost, x.base+int64(x.buffer.Cap()))) // names in the request may be as large as its body
}

// refuse answers what is not a review at all.
func (i *intake) refuse(w http.ResponseWriter, r *http.Request, x *exchange, err error) {
	code := http.StatusBadRequest
	if e, ok := errors.AsType[*httpError](err); ok {
		code = e.code
	}
	i.note(r, err, code)
	text := clipped(err.Error(), maxMessage)
	respond := func() error {
		http.Error(w, text, code)
		return nil
	}
	if errors.Is(err, errBusy) { // perhaps it was cut off, and then it cannot write in its lane
		x.leave()
		_ = x.control.SetWriteDeadline(time.Now().Add(refuseTimeout))
		_ = respond()
		return
	}
	_ = x.write(respond)
}

// note counts and logs what is refused.
func (i *intake) note(r *http.Request, err error, code int) {
	i.refused()
	i.refusals.event(zerolog.WarnLevel).Str("error", clipped(err.Error(), maxMessage)).Int("code", code).
		Str("path", r.URL.Path).Str("remote", r.RemoteAddr).Str("reason", string(mutate.ReasonBadReview)).
		Msg("request refused: is this an API server?")
}

// send writes the encoded response to the client.
func (i *intake) send(w http.ResponseWriter, r *http.Request, x *exchange, uid string) {
	err := x.write(func() error {
		w.Header().Set("Content-Type", mediaType)
		w.Header().Set("Content-Length", strconv.Itoa(x.buffer.Len()))
		_, err := x.buffer.WriteTo(w)
		return err
	})
	switch {
	case errors.Is(err, errBusy):
		i.refuse(w, r, x, err)
	case err != nil:
		i.refusals.event(zerolog.WarnLevel).Err(err).Str("uid", clipped(uid, maxLogged)).Str("remote", r.RemoteAddr).
			Msg("the answer could not be sent")
	}
}
