package mutate

import "k8s-sidecar-injector/conf"

// Outcome is what was done with a review.
type Outcome string

// The outcomes.
const (
	Injected Outcome = "injected"
	Skipped  Outcome = "skipped"
	Denied   Outcome = "denied"
)

// Reason is why. The set is closed; log, metric and answer use the same words.
type Reason string

// The reasons, in the order in which they are looked for. Pod gives all but two: ReasonBadReview,
// where there was no pod to decide about, and ReasonNamespaceUnavailable, which Unavailable gives.
const (
	ReasonBadReview            Reason = "bad_review"
	ReasonNotAPodCreate        Reason = "not_a_pod_create"
	ReasonMirrorPod            Reason = "mirror_pod"
	ReasonIgnoredNamespace     Reason = "ignored_namespace"
	ReasonAlreadyInjected      Reason = "already_injected"
	ReasonNamespaceUnavailable Reason = "namespace_unavailable"
	ReasonNoAnnotation         Reason = "no_annotation"
	ReasonOptedOut             Reason = "opted_out"
	ReasonBadRequest           Reason = "bad_request_annotation"
	ReasonUnknownSidecar       Reason = "unknown_sidecar"
	ReasonNotAllowed           Reason = "not_allowed"
	ReasonHostNetwork          Reason = "host_network"
	ReasonBadParameter         Reason = "bad_parameter"
	ReasonConflict             Reason = "conflict"
	ReasonInjected             Reason = "injected"
	ReasonNamespaceDefault     Reason = "namespace_default" // injected, by the request of the namespace
)

// Verdict is an outcome with its reason.
type Verdict struct {
	Outcome Outcome
	Reason  Reason
}

// Verdicts are all that can come of a review.
func Verdicts() []Verdict {
	return []Verdict{
		{Denied, ReasonBadReview},
		{Skipped, ReasonNotAPodCreate},
		{Skipped, ReasonMirrorPod},
		{Skipped, ReasonIgnoredNamespace},
		{Skipped, ReasonAlreadyInjected},
		{Skipped, ReasonNamespaceUnavailable},
		{Skipped, ReasonNoAnnotation},
		{Skipped, ReasonOptedOut},
		{Skipped, ReasonBadRequest},
		{Denied, ReasonBadRequest},
		{Skipped, ReasonUnknownSidecar},
		{Denied, ReasonUnknownSidecar},
		{Skipped, ReasonNotAllowed},
		{Denied, ReasonNotAllowed},
		{Skipped, ReasonHostNetwork},
		{Skipped, ReasonBadParameter},
		{Denied, ReasonBadParameter},
		{Skipped, ReasonConflict},
		{Denied, ReasonConflict},
		{Injected, ReasonInjected},
		{Injected, ReasonNamespaceDefault},
	}
}

// Decision is what to answer to one review.
type Decision struct {
	Outcome Outcome
	Reason  Reason
	// Message tells a user what is the matter and what to do. It is empty where nobody needs
	// telling; a skip with a message is worth a warning.
	Message string
	// Asked is the request annotation as the pod has it, or else its namespace.
	Asked string
	// AskedBy tells which of them.
	AskedBy Asker
	// Sidecars are those that were injected, in the order of the request, nil unless the
	// outcome is Injected.
	Sidecars []*conf.Sidecar
	// Patch is the JSON Patch (RFC 6902), nil unless the outcome is Injected.
	Patch []byte
	// Generation is that of the snapshot which decided.
	Generation uint64
}

// skip is a decision that leaves the pod alone and that nobody needs to be told of.
func skip(reason Reason) Decision {
	return Decision{Outcome: Skipped, Reason: reason}
}

// refuse is a decision that the operator's policy turns into a denial or a skip.
func refuse(action Action, reason Reason, message string) Decision {
	if action == Deny {
		return Decision{Outcome: Denied, Reason: reason, Message: message}
	}
	return Decision{Outcome: Skipped, Reason: reason, Message: message}
}
