package server

import (
	"net/http"
	"strconv"
	"strings"

	"k8s-sidecar-injector/mutate"
)

// maxMessage is the maximum length of a message for a user or the log. It may quote the pod, which is
// not validated.
const maxMessage = 1024

// responseReview is an AdmissionReview with its response.
type responseReview struct {
	Kind       string   `json:"kind"`
	APIVersion string   `json:"apiVersion"`
	Response   response `json:"response"`
}

// response is an AdmissionResponse.
type response struct {
	UID       string   `json:"uid"`
	Allowed   bool     `json:"allowed"`
	Status    *status  `json:"status,omitempty"`
	Patch     []byte   `json:"patch,omitempty"` // encoded as base64
	PatchType string   `json:"patchType,omitempty"`
	Audit     audit    `json:"auditAnnotations"`
	Warnings  []string `json:"warnings,omitempty"`
}

// audit are the audit annotations. The API server prefixes the keys with the name of the webhook. If it invokes the
// webhook again for a pod, it refuses to overwrite them with other values, and logs each. So a repeated review has only
// Reinvocation.
type audit struct {
	Outcome    mutate.Outcome `json:"outcome,omitempty"`
	Reason     mutate.Reason  `json:"reason,omitempty"`
	Sidecars   string         `json:"sidecars,omitempty"`
	Generation string         `json:"generation,omitempty"` // values are strings
	// Reinvocation is the reason of a repeated review.
	Reinvocation mutate.Reason `json:"reinvocation,omitempty"`
}

// status has the fields of metav1.Status that users see.
type status struct {
	Status  string `json:"status"`
	Message string `json:"message"`
	Reason  string `json:"reason"`
	Code    int    `json:"code"`
}

// newResponseReview returns an AdmissionReview with the response. An unknown version is answered as v1.
func newResponseReview(version string, r response) responseReview {
	if version != v1beta1 {
		version = v1
	}
	return responseReview{Kind: reviewKind, APIVersion: version, Response: r}
}

// buildResponse returns the response for a decision about the review, with the patch for the pod or nil.
func (r *review) buildResponse(d *mutate.Decision, patch []byte) responseReview {
	answer := response{UID: r.Request.UID, Allowed: d.Outcome != mutate.Denied, Audit: audit{
		Outcome: d.Outcome, Reason: d.Reason,
		Sidecars: mutate.Injections(d.Sidecars), Generation: strconv.FormatUint(d.Generation, 10),
	}}
	if d.Repeated {
		answer.Audit = audit{Reinvocation: d.Reason}
	}
	switch {
	case d.Outcome == mutate.Denied:
		code := http.StatusForbidden
		if d.Reason == mutate.ReasonBadReview {
			code = http.StatusBadRequest
		}
		answer.Status = failure(code, truncate(reasonMessage(d), maxMessage)) // kubectl would print a warning as well
	case d.Outcome == mutate.Skipped && d.Cause != nil:
		answer.Warnings = []string{warning("the pod is admitted " + admitted(d) + ": " + reasonMessage(d))}
	}
	if patch != nil {
		answer.Patch, answer.PatchType = patch, "JSONPatch"
	}
	for _, text := range d.Warnings {
		answer.Warnings = append(answer.Warnings, warning(text))
	}
	return newResponseReview(r.APIVersion, answer)
}

func failure(code int, message string) *status {
	reason := strings.ReplaceAll(http.StatusText(code), " ", "") // as metav1.StatusReason
	return &status{Status: "Failure", Message: message, Reason: reason, Code: code}
}

// reasonMessage returns the reason of a decision, see docs/reasons.md, and its message.
func reasonMessage(d *mutate.Decision) string {
	return string(d.Reason) + ": " + d.Message()
}

// admitted returns how a skipped pod is admitted. A pod that was injected before has sidecars.
func admitted(d *mutate.Decision) string {
	if d.Reason == mutate.ReasonAlreadyInjected {
		return "unchanged"
	}
	return "without sidecars"
}

// warning returns a warning for a response. If all warnings together have more than 4096 characters, the API server
// passes on only 256 of each.
func warning(message string) string {
	return truncate("sidecar injector: "+message, maxMessage)
}

// truncate returns the text, cut to at most limit bytes.
func truncate(text string, limit int) string {
	const dots = "..."
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit-len(dots)], "") + dots
}
