package mutate

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"k8s-sidecar-injector/conf"
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
	case byNamespace && (reason == ReasonHostNetwork || reason == ReasonJob):
		return nil // intended: the default of a namespace is for other pods
	case byNamespace, reason == ReasonBadRequest, reason == ReasonUnknownSidecar:
		return &annotationError{r.policy.RequestAnnotation(), r.request.Namespace, byNamespace, cause}
	}
	return cause
}

// annotationError is a cause with the annotation that requests the sidecars.
type annotationError struct {
	annotation, namespace string
	ofNamespace           bool
	err                   error
}

func (e *annotationError) Unwrap() error { return e.err }

func (e *annotationError) Error() string {
	if e.ofNamespace {
		return fmt.Sprintf("annotation %s of namespace %s: %v", e.annotation, quoted(e.namespace), e.err)
	}
	return fmt.Sprintf("annotation %s: %v", e.annotation, e.err)
}

// namespaceUnavailableError is the cause of ReasonNamespaceUnavailable.
type namespaceUnavailableError struct {
	annotation, namespace string
	err                   error
}

func (e *namespaceUnavailableError) Unwrap() error { return e.err }

func (e *namespaceUnavailableError) Error() string {
	return fmt.Sprintf("the pod has no annotation %s, and the lookup of namespace %s failed: %v",
		e.annotation, quoted(e.namespace), e.err)
}

// The causes of ReasonBadRequest.
var (
	errTooManySidecars = fmt.Errorf("more than %d sidecars", maxSidecars)
	errEmptyEntry      = errors.New("empty list entry")
	errOptOutNotAlone  = fmt.Errorf("%s cannot be combined with sidecars", conf.OptOut)
)

// invalidRefError is another cause of ReasonBadRequest.
type invalidRefError struct{ text string }

func (e *invalidRefError) Error() string {
	return quoted(e.text) + " is not a sidecar; want name or name:version, separated by commas, " +
		"each of at most 63 letters, digits, '-', '_' and '.'"
}

// unknownSidecarsError is the cause of ReasonUnknownSidecar.
type unknownSidecarsError []unknownSidecar // the first few

// unknownSidecar is a ref without a sidecar. It has the origin of a rejected document that defines the ref or, if there
// is none, the refs of sidecars of the same name or, if there are none, of the nearest name.
type unknownSidecar struct {
	ref             conf.Ref
	rejected        string
	others, nearest []string
}

func (e unknownSidecarsError) Error() string {
	texts := make([]string, len(e))
	for i, s := range e {
		hint := ": check the name, or ask your operator"
		switch {
		case s.rejected != "":
			hint = ": its definition in " + s.rejected + " is rejected"
		case s.others != nil:
			hint = ", but there is " + strings.Join(s.others, ", ")
		case s.nearest != nil:
			hint = ": did you mean " + strings.Join(s.nearest, ", ") + "?"
		}
		texts[i] = "there is no sidecar " + quoted(s.ref.String()) + hint
	}
	return strings.Join(texts, "; ")
}

// notAllowedError is the cause of ReasonNotAllowed.
type notAllowedError struct {
	sidecar   conf.Ref
	namespace string
}

func (e *notAllowedError) Error() string {
	return fmt.Sprintf("sidecar %s is not allowed in namespace %s: allowedNamespaces does not include it",
		e.sidecar, quoted(e.namespace))
}

// hostNetworkError is the cause of ReasonHostNetwork.
type hostNetworkError struct{ sidecar conf.Ref }

func (e *hostNetworkError) Error() string {
	return fmt.Sprintf("sidecar %s skips pods with hostNetwork", e.sidecar)
}

// otherOSError is the cause of ReasonOtherOS.
type otherOSError struct {
	sidecar     conf.Ref
	wanted, pod string
}

func (e *otherOSError) Error() string {
	return fmt.Sprintf("sidecar %s is for %s, and the operating system of the pod is %s",
		e.sidecar, e.wanted, quoted(e.pod))
}

// jobError is the cause of ReasonJob.
type jobError struct{ sidecar conf.Ref }

func (e *jobError) Error() string {
	return fmt.Sprintf("sidecar %s has inJobs: skip, and the pod runs to completion", e.sidecar)
}

// copyError is a cause of ReasonAlreadyInjected.
type copyError struct{ sidecar conf.Ref }

func (e *copyError) Error() string {
	return fmt.Sprintf("the pod already has the containers of sidecar %s, like a copy of an injected pod", e.sidecar)
}

// conflictError is the cause of ReasonConflict. Like all causes, it does not refer to the pod: servers
// keep a cause for longer.
type conflictError struct {
	refs      []string // of the sidecars
	conflicts conflicts
}

func newConflictError(sidecars []*conf.Sidecar, conflicts conflicts) error {
	e := &conflictError{refs: make([]string, len(sidecars)), conflicts: conflicts}
	for i, s := range sidecars {
		e.refs[i] = s.Ref.String()
	}
	return e
}

func (e *conflictError) Error() string {
	if len(e.refs) == 1 {
		return fmt.Sprintf("sidecar %s does not fit this pod: %v", e.refs[0], e.conflicts)
	}
	return fmt.Sprintf("sidecars %s do not fit this pod: %v", strings.Join(e.refs, ", "), e.conflicts)
}

// quoted quotes text of a user for a message, and shortens it.
func quoted(text string) string {
	const most = 80
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return strconv.Quote(text)
}
