package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	// maxBody is the maximum size of a body. An object in etcd has at most 1.5 MiB, and a review contains it at
	// most twice. The rest is for escapes in JSON.
	maxBody = 7 << 20
	// maxPooled is the largest buffer that is kept for another request.
	maxPooled = 64 << 10
	// maxTimeout is the largest timeoutSeconds of a webhook configuration.
	maxTimeout = 30 * time.Second

	mediaType = "application/json"
)

// receive checks the header of the request and reads its body. The client has readTimeout for the body,
// or ?timeout= if that is less.
func (f *inflight) receive(w http.ResponseWriter, r *http.Request) error {
	if err := checkHeader(r); err != nil {
		return err
	}
	timeout, err := timeoutOf(r)
	if err != nil {
		return err
	}
	f.deadline = f.start.Add(timeout)
	// Not every ResponseWriter has deadlines. The timeouts of the server apply as well.
	_ = f.control.SetReadDeadline(f.start.Add(min(timeout, readTimeout)))
	return f.readBody(http.MaxBytesReader(w, r.Body, maxBody), r.ContentLength > maxSmallBody)
}

// readBody reads the body into the buffer. The buffer grows with the bytes received, not with the
// announced length. A body that is large, or becomes large, is read in the large lane.
func (f *inflight) readBody(body io.Reader, large bool) error {
	for {
		size := f.buffer.Cap()
		if f.buffer.Available() < bytes.MinRead {
			size = 2*size + bytes.MinRead
		}
		lane := f.lane
		if large || f.buffer.Len() > maxSmallBody {
			lane = f.lanes.large
		}
		if err := f.holdIn(lane, f.base+int64(size)); err != nil {
			return err
		}
		f.buffer.Grow(size - f.buffer.Len())
		room := f.buffer.AvailableBuffer()
		n, err := body.Read(room[:cap(room)])
		f.buffer.Write(room[:n])
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return f.bodyError(err)
		}
	}
}

// bodyError returns the refusal for an error of reading the body.
func (f *inflight) bodyError(err error) error {
	if overload := f.hold(f.cost); overload != nil { // that is why reading failed
		return overload
	}
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return bodyTooLarge()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return refusalf(http.StatusRequestTimeout, refusedDeadline, "the body did not arrive in time")
	}
	return refusalf(http.StatusBadRequest, refusedBody, "cannot read the body: %v", err)
}

func bodyTooLarge() error {
	return refusalf(http.StatusRequestEntityTooLarge, refusedTooLarge, "the body is larger than %d bytes", maxBody)
}

func checkHeader(r *http.Request) error {
	if got := r.Header.Get("Content-Type"); !isJSON(got) {
		return refusalf(http.StatusUnsupportedMediaType, refusedMediaType, "want Content-Type %s, got %q", mediaType, got)
	}
	if got := r.Header.Get("Content-Encoding"); got != "" && got != "identity" {
		return refusalf(http.StatusUnsupportedMediaType, refusedMediaType, "want no Content-Encoding, got %q", got)
	}
	if r.ContentLength > maxBody {
		return bodyTooLarge()
	}
	return nil
}

// isJSON ignores the parameters of the media type. The API server sends none.
func isJSON(contentType string) bool {
	if contentType == mediaType {
		return true
	}
	got, _, err := mime.ParseMediaType(contentType)
	return err == nil && got == mediaType
}

// timeoutOf returns the ?timeout= of the API server, which is timeoutSeconds of the webhook
// configuration. It returns maxTimeout if there is none.
func timeoutOf(r *http.Request) (time.Duration, error) {
	text, alone := strings.CutPrefix(r.URL.RawQuery, "timeout=")
	if !alone || strings.ContainsAny(text, "&;%+") { // not what an API server sends
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil {
			return 0, refusalf(http.StatusBadRequest, refusedQuery, "malformed query: %v", err)
		}
		text = query.Get("timeout")
	}
	if text == "" {
		return maxTimeout, nil
	}
	timeout, err := time.ParseDuration(text)
	if err != nil || timeout <= 0 {
		const want = "timeout: want a duration such as 5s, got %q"
		return 0, refusalf(http.StatusBadRequest, refusedQuery, want, text)
	}
	return min(timeout, maxTimeout), nil
}
