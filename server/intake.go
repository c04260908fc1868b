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

// intake is what the webhooks have in common: it reads questions within its limits, and sends
// answers. It is safe for concurrent use.
type intake struct {
	refused func() // counts what is no review
	log     zerolog.Logger
	buffers *sync.Pool
	memory  *budget
}

func newIntake(refused func(), log zerolog.Logger) intake {
	return intake{
		refused: refused, log: log,
		buffers: &sync.Pool{New: func() any { return new(bytes.Buffer) }},
		memory:  &budget{most: maxBodies},
	}
}

// exchange is one question, of which the answer takes the place.
type exchange struct {
	buffer   *bytes.Buffer
	body     metered
	deadline time.Time // zero if nobody said how long they wait
}

// receive reads the body of a request. The exchange must be released, also after an error.
func (i *intake) receive(w http.ResponseWriter, r *http.Request, start time.Time) (x exchange, err error) {
	x.buffer, _ = i.buffers.Get().(*bytes.Buffer)
	x.buffer.Reset()
	x.body = metered{budget: i.memory, reader: r.Body}
	x.deadline, err = readBody(w, r, &x.body, x.buffer, start)
	return x, err
}

// release gives back what the exchange has taken.
func (i *intake) release(x *exchange) {
	x.body.release()
	if x.buffer.Cap() <= maxPooled {
		i.buffers.Put(x.buffer)
	}
}

// refuse answers what is not a review at all.
func (i *intake) refuse(w http.ResponseWriter, r *http.Request, err error) {
	code := http.StatusBadRequest
	if e, ok := errors.AsType[*httpError](err); ok {
		code = e.code
	}
	i.note(r, err, code)
	http.Error(w, clipped(err.Error(), maxMessage), code)
}

// note counts and logs what is refused.
func (i *intake) note(r *http.Request, err error, code int) {
	i.refused()
	i.log.Warn().Str("error", clipped(err.Error(), maxMessage)).Int("code", code).Str("path", r.URL.Path).Str("remote", r.RemoteAddr).
		Str("reason", string(mutate.ReasonBadReview)).Msg("request refused: is this an API server?")
}

// send writes the answer by way of the buffer that held the question, of which nothing is
// referred to any more: what was decoded are copies.
func (i *intake) send(w http.ResponseWriter, r *http.Request, buffer *bytes.Buffer, a answer) {
	buffer.Reset()
	err := json.MarshalWrite(buffer, a)
	if err == nil {
		w.Header().Set("Content-Type", mediaType)
		w.Header().Set("Content-Length", strconv.Itoa(buffer.Len()))
		_, err = w.Write(buffer.Bytes())
	}
	if err != nil {
		i.log.Warn().Err(err).Str("uid", clipped(a.Response.UID, maxLogged)).Str("remote", r.RemoteAddr).Msg("the answer could not be sent")
	}
}
