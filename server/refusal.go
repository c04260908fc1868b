package server

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"k8s-sidecar-injector/mutate"
)

// refusal is the error of a request that is answered with a line of text instead of an AdmissionReview.
type refusal struct {
	code  int
	cause refusalCause
	text  string
}

func (r *refusal) Error() string { return r.text }

func refusalf(code int, cause refusalCause, format string, values ...any) *refusal {
	return &refusal{code, cause, fmt.Sprintf(format, values...)}
}

// refusalCause is the class of a refusal in metrics and logs. The set is closed. An API server can cause
// only the first three.
type refusalCause string

const (
	refusedOverload   refusalCause = "overload"
	refusedDeadline   refusalCause = "deadline"
	refusedBody       refusalCause = "body"
	refusedTooLarge   refusalCause = "too_large"
	refusedMediaType  refusalCause = "media_type"
	refusedQuery      refusalCause = "query"
	refusedNotAReview refusalCause = "not_a_review"
	refusedInternal   refusalCause = "internal"
)

func refusalCauses() []refusalCause {
	return []refusalCause{
		refusedOverload, refusedDeadline, refusedBody,
		refusedTooLarge, refusedMediaType, refusedQuery, refusedNotAReview, refusedInternal,
	}
}

var (
	errOverload = &refusal{http.StatusServiceUnavailable, refusedOverload, "too many requests are in flight; try again"}
	errDeadline = &refusal{http.StatusServiceUnavailable, refusedDeadline, "deadline exceeded"}
)

// asRefusal returns the error as a refusal. Any other error is one of decoding the review.
func asRefusal(err error) *refusal {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r
	}
	return &refusal{http.StatusBadRequest, refusedNotAReview, err.Error()}
}

// refuse answers a request with an error instead of an AdmissionReview.
func (h *reviewHandler) refuse(w http.ResponseWriter, r *http.Request, f *inflight, err error) {
	refused := asRefusal(err)
	h.countRefusal(r, refused)
	respond := func() error {
		http.Error(w, truncate(refused.text, maxMessage), refused.code)
		return nil
	}
	if refused.cause != refusedOverload {
		_ = f.write(respond)
		return
	}
	h.end(f) // a request that was cut off cannot write in its lane
	_ = f.control.SetWriteDeadline(time.Now().Add(refuseTimeout))
	_ = respond()
}

// countRefusal counts and logs a refusal. Each cause has its own limit of log lines, so that malformed requests
// do not suppress the lines about overload.
func (h *reviewHandler) countRefusal(r *http.Request, refused *refusal) {
	h.refused.Inc()
	h.metrics.refused.WithLabelValues(string(refused.cause)).Inc()
	log := h.refusalLogs[refused.cause]
	log.Warn().Str("error", truncate(refused.text, maxMessage)).
		Int("code", refused.code).Str("cause", string(refused.cause)).Str("path", r.URL.Path).
		Str("remote", r.RemoteAddr).Str("reason", string(mutate.ReasonBadReview)).
		Msg("request refused: " + string(refused.cause))
}
