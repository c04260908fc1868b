package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"time"
)

const (
	// maxBody is more than a review of any usual object: etcd takes 1.5 MiB, and a review has the
	// object at most twice. One full of characters that JSON writes as six may be larger.
	maxBody = 7 << 20
	// maxPooled is the largest body buffer that is kept for the next review.
	maxPooled = 64 << 10
	// maxTimeout is the longest timeoutSeconds that a webhook configuration may have.
	maxTimeout = 30 * time.Second
)

// httpError is a request that is refused before there is a review to answer.
type httpError struct {
	code int
	text string
}

func (e *httpError) Error() string { return e.text }

// receive checks the head of the request and reads its body. The client has readTimeout for the body,
// or less if the API server waits for a shorter time.
func (x *exchange) receive(w http.ResponseWriter, r *http.Request) error {
	if err := checkHead(r); err != nil {
		return err
	}
	timeout, err := timeoutOf(r)
	if err != nil {
		return err
	}
	if timeout > 0 {
		x.deadline = x.start.Add(timeout)
		// Not every ResponseWriter has deadlines; the server's own timeouts hold as well.
		_ = x.control.SetReadDeadline(x.start.Add(min(timeout, readTimeout)))
	}
	return x.readBody(http.MaxBytesReader(w, r.Body, maxBody), r.ContentLength > mostSmall)
}

// readBody reads all of the body into the buffer, which grows with what arrives, never with what is
// announced. A body that is large, or becomes so, is read in the large lane.
func (x *exchange) readBody(body io.Reader, large bool) error {
	for {
		size := x.buffer.Cap()
		if x.buffer.Available() < bytes.MinRead {
			size = 2*size + bytes.MinRead
		}
		if err := x.holdBody(size, large || x.buffer.Len() > mostSmall); err != nil {
			return err
		}
		x.buffer.Grow(size - x.buffer.Len())
		room := x.buffer.AvailableBuffer()
		n, err := body.Read(room[:cap(room)])
		x.buffer.Write(room[:n])
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return x.bodyError(err)
		}
	}
}

// holdBody charges the exchange for a buffer of that size, in the lane that the body belongs to.
func (x *exchange) holdBody(size int, large bool) error {
	cost := x.base + int64(size)
	switch {
	case large && x.lane == &x.lanes.small:
		return x.enter(&x.lanes.large, cost)
	case cost != x.cost:
		return x.hold(cost)
	}
	return nil
}

// inTime fails after the deadline, when the client no longer waits. The zero deadline is none.
func inTime(deadline time.Time) error {
	if deadline.IsZero() || time.Now().Before(deadline) {
		return nil
	}
	return errLate
}

var errLate = &httpError{http.StatusServiceUnavailable, "the time that the client waits is over"}

func checkHead(r *http.Request) error {
	if contentType := r.Header.Get("Content-Type"); !isJSON(contentType) {
		return &httpError{http.StatusUnsupportedMediaType, fmt.Sprintf("want Content-Type %s, got %q", mediaType, contentType)}
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return &httpError{http.StatusUnsupportedMediaType, fmt.Sprintf("want no Content-Encoding, got %q", encoding)}
	}
	if r.ContentLength > maxBody {
		return tooLarge()
	}
	return nil
}

// mediaType is what reviews and answers are.
const mediaType = "application/json"

// isJSON takes any parameters; the API server sends none.
func isJSON(contentType string) bool {
	if contentType == mediaType {
		return true
	}
	got, _, err := mime.ParseMediaType(contentType)
	return err == nil && got == mediaType
}

// timeoutOf reads the ?timeout= that the API server sends: the timeoutSeconds of the webhook
// configuration, as a duration. It is 0 when there is none.
func timeoutOf(r *http.Request) (time.Duration, error) {
	if r.URL.RawQuery == "" {
		return 0, nil
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return 0, &httpError{http.StatusBadRequest, "the query of the URL is malformed: " + err.Error()}
	}
	text := query.Get("timeout")
	if text == "" {
		return 0, nil
	}
	timeout, err := time.ParseDuration(text)
	if err != nil || timeout <= 0 {
		return 0, &httpError{http.StatusBadRequest, fmt.Sprintf("timeout: want a duration such as 5s, got %q", text)}
	}
	return min(timeout, maxTimeout), nil
}

func (x *exchange) bodyError(err error) error {
	if errors.Is(x.ended(), errBusy) {
		return errBusy
	}
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return tooLarge()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return &httpError{http.StatusRequestTimeout, "the body did not arrive in time"}
	}
	return &httpError{http.StatusBadRequest, "the body could not be read: " + err.Error()}
}

func tooLarge() error {
	return &httpError{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", maxBody)}
}
