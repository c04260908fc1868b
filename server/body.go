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
	"sync/atomic"
	"time"
)

const (
	// maxBody is more than a review of any usual object: etcd takes 1.5 MiB, and a review has the
	// object at most twice. One full of characters that JSON writes as six may be larger.
	maxBody = 7 << 20
	// maxBodies is what all bodies that are being read or decided may come to: some thousands of
	// usual reviews at once. What is decoded of a hostile one may be ten times its size.
	maxBodies = 32 << 20
	// maxPooled is the largest body buffer that is kept for the next review.
	maxPooled = 256 << 10
	// maxTimeout is the longest timeoutSeconds that a webhook configuration may have.
	maxTimeout = 30 * time.Second
	// toRefuse is how long after the deadline of a review its refusal may still be written.
	toRefuse = time.Second
)

// httpError is a request that is refused before there is a review to answer.
type httpError struct {
	code int
	text string
}

func (e *httpError) Error() string { return e.text }

// readBody checks the head of the request and reads its body into the buffer, within the time
// that the API server waits. It gives the end of that time; zero if there is none. The buffer
// grows with what arrives, never with what is announced.
func readBody(w http.ResponseWriter, r *http.Request, body *metered, buffer *bytes.Buffer, start time.Time) (deadline time.Time, err error) {
	if err := checkHead(r); err != nil {
		return deadline, err
	}
	timeout, err := timeoutOf(r)
	if err != nil {
		return deadline, err
	}
	if timeout > 0 {
		deadline = start.Add(timeout)
		// Not every ResponseWriter has deadlines; the server's own timeouts hold as well.
		control := http.NewResponseController(w)
		_ = control.SetReadDeadline(deadline)
		_ = control.SetWriteDeadline(deadline.Add(toRefuse))
	}
	if _, err := buffer.ReadFrom(http.MaxBytesReader(w, body, maxBody)); err != nil {
		return deadline, bodyError(err)
	}
	return deadline, nil
}

// inTime is an error once nobody waits for the answer any more. The zero deadline is none.
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

func bodyError(err error) error {
	if errors.Is(err, errBusy) {
		return &httpError{http.StatusServiceUnavailable, err.Error()}
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

// budget bounds the memory that the bodies of all clients take together. It is safe for
// concurrent use.
type budget struct {
	most int64
	used atomic.Int64
}

var errBusy = fmt.Errorf("more than %d bytes of reviews are in flight: try again", maxBodies)

// metered is a body that takes of the budget what was read from it.
type metered struct {
	budget *budget
	reader io.ReadCloser
	taken  int64
}

// Read implements io.Reader. It fails with errBusy when the budget is used up.
func (m *metered) Read(p []byte) (int, error) {
	n, err := m.reader.Read(p)
	m.taken += int64(n)
	if m.budget.used.Add(int64(n)) > m.budget.most {
		return n, errBusy
	}
	return n, err
}

// Close implements io.Closer.
func (m *metered) Close() error {
	return m.reader.Close()
}

// release gives back what was taken.
func (m *metered) release() {
	m.budget.used.Add(-m.taken)
}
