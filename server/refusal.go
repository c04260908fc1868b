package server

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"k8s-sidecar-injector/mutate"
)

// refusal is the error of a request whose response is a line of text instead of an AdmissionReview.
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

// asRefusal returns the error as a refusal. Errors of decoding are not refusals yet.
func asRefusal(err error) *refusal {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r
	}
	return &refusal{http.StatusBadRequest, refusedNotAReview, err.Error()}
}

// refuse responds to a request that cannot be answered with an AdmissionReview.
func (i *requestReader) refuse(w http.ResponseWriter, r *http.Request, f *inflight, err error) {
	refused := asRefusal(err)
	i.countRefusal(r, refused)
	respond := func() error {
		http.Error(w, truncate(refused.text, maxMessage), refused.code)
		return nil
	}
	if refused.cause != refusedOverload {
		_ = f.write(respond)
		return
	}
	i.end(f) // it was cut off, and cannot write in its lane
	_ = f.control.SetWriteDeadline(time.Now().Add(refuseTimeout))
	_ = respond()
}

// countRefusal counts and logs a refusal. Each cause has its own limit of log lines, so that garbage
// does not suppress the lines about overload.
func (i *requestReader) countRefusal(r *http.Request, refused *refusal) {
	i.refused.Inc()
	i.metrics.refused.WithLabelValues(string(refused.cause)).Inc()
	log := i.refusals[refused.cause]
	log.Warn().Str("error", truncate(refused.text, maxMessage)).
		Int("code", refused.code).Str("cause", string(refused.cause)).Str("path", r.URL.Path).
		Str("remote", r.RemoteAddr).Str("reason", string(mutate.ReasonBadReview)).
		Msg("request refused: " + string(refused.cause))
}
