package mutate

import "k8s-sidecar-injector/conf"

// Outcome is the result of a review.
type Outcome string

// The outcomes.
const (
	Injected Outcome = "injected"
	Skipped  Outcome = "skipped"
	Denied   Outcome = "denied"
)

// Reason is why a review has its outcome. The set is closed. Logs, metrics, audit annotations,
// warnings and Events use the same words.
type Reason string

// The reasons, in the order of the stages of a review. ReasonBadReview is for a review that cannot
// be decoded, which Pod notices only if a sidecar needs the field.
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
	ReasonOtherOS              Reason = "other_os"
	ReasonJob                  Reason = "job"
	ReasonBadParameter         Reason = "bad_parameter"
	ReasonConflict             Reason = "conflict"
	ReasonInjected             Reason = "injected"
	ReasonNamespaceDefault     Reason = "namespace_default" // injected, as the namespace requests
	ReasonCompleted            Reason = "completed"         // injected before, and containers were added since
)

// RequestSource is the object whose annotation requests sidecars for a pod.
type RequestSource string

// The sources. The annotation of a pod overrides that of its namespace, whatever its value is.
const (
	SourceNone      RequestSource = ""
	SourcePod       RequestSource = "pod"
	SourceNamespace RequestSource = "namespace"
)

// Verdict is an outcome with its reason.
type Verdict struct {
	Outcome Outcome
	Reason  Reason
}

// Verdicts returns all possible results of a review.
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
		{Skipped, ReasonOtherOS},
		{Skipped, ReasonJob},
		{Skipped, ReasonBadParameter},
		{Denied, ReasonBadParameter},
		{Skipped, ReasonConflict},
		{Denied, ReasonConflict},
		{Injected, ReasonInjected},
		{Injected, ReasonNamespaceDefault},
		{Injected, ReasonCompleted},
	}
}

// Decision is the answer to a review.
type Decision struct {
	Outcome Outcome
	Reason  Reason
	// Repeated reports whether the pod was marked as injected before.
	Repeated bool
	// Cause is why the sidecars were not injected. It is nil if the reason says enough.
	Cause error
	// Warnings are for the author of the pod, whatever the outcome is. There are few.
	Warnings []string
	// Request is the value of the annotation that requests sidecars, and RequestedBy is whose it is.
	Request     string
	RequestedBy RequestSource
	// Sidecars are the injected sidecars in the order of the request, with the values of their
	// parameters. It is nil unless the outcome is Injected.
	Sidecars []*conf.Sidecar
	// NotInjected are the requested sidecars that are in service, if the outcome is not Injected. It is nil if the
	// request was not read.
	NotInjected []*conf.Sidecar
	// Parameters are the values of the parameters of the requested sidecars. It is nil unless Explain decides.
	Parameters []ParameterValue
	// Patch is the JSON Patch (RFC 6902). It is nil unless the outcome is Injected. See also Policy.SkipPatch.
	Patch []byte
	// Generation is the generation of the snapshot.
	Generation uint64
}
