package mutate

import "fmt"

// Action is what to do with a pod whose request cannot be met.
type Action string

// The actions.
const (
	Admit Action = "admit"
	Deny  Action = "deny"
)

// ParseAction reads an action; any other text than theirs is an error.
func ParseAction(text string) (Action, error) {
	switch action := Action(text); action {
	case Admit, Deny:
		return action, nil
	default:
		return "", fmt.Errorf("%q is neither %s nor %s", text, Admit, Deny)
	}
}

// Policy is what the operator has decided. It is not changed after the first use.
type Policy struct {
	// AnnotationNamespace is what stands before the slash in our annotations, such as
	// injector.tumblr.com.
	AnnotationNamespace string
	// IgnoredNamespaces are those whose pods are left alone.
	IgnoredNamespaces []string
	// OnUnknown is for requests that are malformed, or name a sidecar that does not exist or that
	// the namespace may not have.
	OnUnknown Action
	// OnConflict is for requests that would make an invalid pod, or set a parameter wrongly.
	OnConflict Action
}

// The annotations below the annotation namespace.
const (
	requestKey  = "request"
	statusKey   = "status"
	injectedKey = "injected"
)

// statusInjected is the value of the status annotation that says: this pod is done.
const statusInjected = "injected"

// RequestAnnotation is the key of the annotation by which a pod asks, or a namespace for its pods.
func (p *Policy) RequestAnnotation() string { return p.key(requestKey) }

func (p *Policy) key(name string) string {
	return p.AnnotationNamespace + "/" + name
}
