package server

import "k8s-sidecar-injector/mutate"

// Recorder records Events. Record must return immediately and be safe for concurrent use.
type Recorder interface {
	Record(event Event)
}

// Event is a warning for the owner of a pod that did not get its sidecars. It refers to the owner because
// the pod may not exist.
type Event struct {
	// Namespace is the namespace of the pod and of its owner.
	Namespace string
	// Owner is the controller of the pod. It is not validated and may not exist.
	Owner mutate.Owner
	// Reason is EventDenied or EventSkipped.
	Reason string
	// Message begins with the reason of the decision. It has at most 992 bytes.
	Message string
}

// The reasons of Events.
const (
	EventDenied  = "PodDenied"
	EventSkipped = "SidecarNotInjected"
)

const (
	// maxEventMessage is the API's limit of 1024 bytes, minus the prefix that client-go adds to the messages of
	// aggregated Events.
	maxEventMessage = 1024 - len("(combined from similar events): ")
	// maxName is the longest name of an object. No field of an owner is longer.
	maxName = 253
)

// recordEvent records the Event of a decision, if it has one.
func (h *Webhook) recordEvent(request *mutate.Request, d *mutate.Decision) {
	if h.recorder == nil || request.DryRun || !needsEvent(d) {
		return
	}
	owner := request.Controller()
	if owner == nil || !isValidOwner(request.Namespace, owner) {
		return
	}
	reason := EventSkipped
	if d.Outcome == mutate.Denied {
		reason = EventDenied
	}
	h.recorder.Record(Event{
		Namespace: request.Namespace, Owner: *owner,
		Reason: reason, Message: truncate(reasonMessage(d), maxEventMessage),
	})
}

// needsEvent reports whether to record an Event: for denials, and for pods that were admitted although
// they request something that does not exist.
func needsEvent(d *mutate.Decision) bool {
	if d.Outcome == mutate.Denied {
		return d.Reason != mutate.ReasonBadReview
	}
	return d.Reason == mutate.ReasonUnknownSidecar || d.Reason == mutate.ReasonBadParameter
}

// isValidOwner reports whether the owner can exist. The API server rejects a pod with any other owner.
func isValidOwner(namespace string, owner *mutate.Owner) bool {
	for _, text := range []string{namespace, owner.APIVersion, owner.Kind, owner.Name, owner.UID} {
		if text == "" || len(text) > maxName {
			return false
		}
	}
	return true
}
