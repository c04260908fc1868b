package mutate

import (
	"fmt"
	"strconv"
	"strings"
)

// Message returns the cause as a message for the user, or "" if there is no cause. A skip with a
// message deserves a warning.
func (d *Decision) Message() string {
	if d.Cause == nil {
		return ""
	}
	return d.Cause.Error()
}

// attribute adds the annotation that requests the sidecars to a cause, unless the cause suffices.
func (r *review) attribute(reason Reason, cause error) error {
	byNamespace := r.decision.RequestedBy == SourceNamespace
	switch {
	case cause == nil:
		return nil
	case byNamespace && reason == ReasonHostNetwork:
		return nil // intended: the default of a namespace is for other pods
	case byNamespace:
		return fmt.Errorf("annotation %s of namespace %s: %w",
			r.policy.RequestAnnotation(), quoted(r.request.Namespace), cause)
	case reason == ReasonBadRequest, reason == ReasonUnknownSidecar:
		return fmt.Errorf("annotation %s: %w", r.policy.RequestAnnotation(), cause)
	}
	return cause
}

// quoted quotes text of a user for a message, and shortens it.
func quoted(text string) string {
	const most = 80
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return strconv.Quote(text)
}
