package server

import "k8s-sidecar-injector/mutate"

// Recorder takes what the owners of pods are told: their pods may never come to be, so that
// there is nobody else to tell. Record must return at once, whatever becomes of the event, and be
// safe for concurrent use.
type Recorder interface {
	Record(event Event)
}

// Event is what the owner of a pod is told: a warning that the pod did not get what it asked for.
type Event struct {
	// Namespace is that of the pod and of its owner.
	Namespace string
	// Owner is the pod's controller, as the pod has it. It may not exist.
	Owner mutate.Owner
	// Reason is what was done: EventDenied or EventSkipped.
	Reason string
	// Message begins with the reason of the decision. It is no longer than 992 bytes.
	Message string
}

// The reasons of events, in the form that Kubernetes gives them.
const (
	EventDenied  = "PodDenied"
	EventSkipped = "SidecarNotInjected"
)

const (
	// maxEventMessage is what the API takes, 1024 bytes, less what client-go puts before the
	// message of an event that stands for many.
	maxEventMessage = 1024 - len("(combined from similar events): ")
	// maxName is the longest name that any object has. Nothing of an owner is longer.
	maxName = 253
)

// tell records the event of a decision, if there is one.
func (h *Webhook) tell(request *mutate.Request, d *mutate.Decision) {
	if h.recorder == nil || request.DryRun || !worthTelling(d) {
		return
	}
	owner := request.Controller()
	if owner == nil || !plausible(request.Namespace, owner) {
		return
	}
	reason := EventSkipped
	if d.Outcome == mutate.Denied {
		reason = EventDenied
	}
	h.recorder.Record(Event{
		Namespace: request.Namespace, Owner: *owner,
		Reason: reason, Message: clipped(told(d), maxEventMessage),
	})
}

// worthTelling tells the decisions of which the owner of a pod should know: every denial of a
// pod, and what was skipped although the pod asked for something that there is not.
func worthTelling(d *mutate.Decision) bool {
	if d.Outcome == mutate.Denied {
		return d.Reason != mutate.ReasonBadReview
	}
	switch d.Reason {
	case mutate.ReasonUnknownSidecar, mutate.ReasonBadParameter:
		return true
	default:
		return false
	}
}

// plausible finds owners that no object can have. The API server will say so of the pod; until
// then they must take no memory.
func plausible(namespace string, owner *mutate.Owner) bool {
	for _, text := range []string{namespace, owner.APIVersion, owner.Kind, owner.Name, owner.UID} {
		if text == "" || len(text) > maxName {
			return false
		}
	}
	return true
}
