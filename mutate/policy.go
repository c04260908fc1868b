package mutate

import (
	"fmt"
	"strings"
)

// Action is what to do with a pod whose request cannot be fulfilled.
type Action string

// The actions.
const (
	Admit Action = "admit"
	Deny  Action = "deny"
)

// ParseAction parses an action.
func ParseAction(text string) (Action, error) {
	switch action := Action(text); action {
	case Admit, Deny:
		return action, nil
	default:
		return "", fmt.Errorf("%q is neither %s nor %s", text, Admit, Deny)
	}
}

// Policy is the configuration by the operator. It must not be changed after the first use.
type Policy struct {
	// AnnotationNamespace is the part of our annotations before the slash, such as
	// injector.tumblr.com.
	AnnotationNamespace string
	// IgnoredNamespaces are the namespaces whose pods are skipped.
	IgnoredNamespaces []string
	// OnUnknown is for requests that are malformed, or name a sidecar that does not exist or is not
	// allowed in the namespace.
	OnUnknown Action
	// OnConflict is for pods that the sidecars do not fit, and for invalid parameters.
	OnConflict Action
}

// action returns what to do with a pod that is not injected.
func (p *Policy) action(reason Reason) Action {
	switch reason { //nolint:exhaustive // all others are skips
	case ReasonBadReview:
		return Deny
	case ReasonBadRequest, ReasonUnknownSidecar, ReasonNotAllowed:
		return p.OnUnknown
	case ReasonBadParameter, ReasonConflict:
		return p.OnConflict
	}
	return Admit
}

// The names of annotations in the annotation namespace.
const (
	requestKey  = "request"
	statusKey   = "status"
	injectedKey = "injected"
)

// statusInjected is the value of the status annotation of a pod that was injected.
const statusInjected = "injected"

// RequestAnnotation returns the key of the annotation of pods and namespaces that requests sidecars.
func (p *Policy) RequestAnnotation() string { return p.key(requestKey) }

// InjectedAnnotation returns the key of the annotation of pods that names the injected sidecars.
func (p *Policy) InjectedAnnotation() string { return p.key(injectedKey) }

// StatusAnnotation returns the key of the annotation of pods that have been reviewed. The value `injected` keeps them
// from being injected again, and `skipped: REASON` does not.
func (p *Policy) StatusAnnotation() string { return p.key(statusKey) }

// IsInjected reports whether annotations are those of a pod that was injected.
func (p *Policy) IsInjected(annotations map[string]string) bool {
	return strings.EqualFold(strings.TrimSpace(annotations[p.key(statusKey)]), statusInjected)
}

func (p *Policy) key(name string) string {
	return p.AnnotationNamespace + "/" + name
}
