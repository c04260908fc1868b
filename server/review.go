package server

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"k8s-sidecar-injector/mutate"
)

const (
	reviewKind = "AdmissionReview"
	v1         = "admission.k8s.io/v1"
	v1beta1    = "admission.k8s.io/v1beta1"
)

// review is the question.
type review struct {
	Kind       string          `json:"kind"`
	APIVersion string          `json:"apiVersion"`
	Request    *mutate.Request `json:"request"`
}

// head is a review without its object, which may be anything.
type head struct {
	Kind       string `json:"kind"`
	APIVersion string `json:"apiVersion"`
	Request    *struct {
		UID         string          `json:"uid"`
		Resource    mutate.Resource `json:"resource"`
		SubResource string          `json:"subResource"`
		Name        string          `json:"name"`
		Namespace   string          `json:"namespace"`
		Operation   string          `json:"operation"`
		DryRun      bool            `json:"dryRun"`
	} `json:"request"`
}

// decodeReview reads a review in one pass. With an error, the review has what could be read
// of its version and uid, which is enough to answer.
func decodeReview(body []byte) (review, error) {
	var r review
	if err := json.Unmarshal(body, &r); err != nil {
		r, err = decodeHead(body, err)
		if err != nil {
			return r, fmt.Errorf("the body is not an AdmissionReview of a pod: %w", mutate.DecodeError(err, ""))
		}
	}
	return r, r.check()
}

// decodeHead is the second try after an error: an object that does not look like a pod is
// none of our business, unless the review says that it is a pod.
func decodeHead(body []byte, cause error) (review, error) {
	var h head
	err := json.Unmarshal(body, &h)
	r := review{Kind: h.Kind, APIVersion: h.APIVersion}
	if h.Request == nil {
		return r, cause
	}
	r.Request = &mutate.Request{
		UID: h.Request.UID, Resource: h.Request.Resource, SubResource: h.Request.SubResource,
		Name: h.Request.Name, Namespace: h.Request.Namespace, Operation: h.Request.Operation,
		DryRun: h.Request.DryRun,
	}
	if err != nil || r.Request.PodCreate() {
		return r, cause
	}
	return r, nil
}

func (r *review) check() error {
	if err := checkKind(r.Kind, r.APIVersion); err != nil {
		return err
	}
	if r.Request == nil {
		return errNoRequest
	}
	return checkUID(r.Request.UID)
}

var errNoRequest = errors.New("the AdmissionReview has no request")

func checkKind(kind, version string) error {
	if kind != reviewKind {
		return fmt.Errorf("want kind %s, got %q", reviewKind, kind)
	}
	if version != v1 && version != v1beta1 {
		return fmt.Errorf("want apiVersion %s or %s, got %q", v1, v1beta1, version)
	}
	return nil
}

func checkUID(uid string) error {
	if uid == "" {
		return errors.New("the request has no uid")
	}
	return nil
}

// answer is the AdmissionReview that goes back.
type answer struct {
	Kind       string   `json:"kind"`
	APIVersion string   `json:"apiVersion"`
	Response   response `json:"response"`
}

// response is an AdmissionResponse.
type response struct {
	UID       string   `json:"uid"`
	Allowed   bool     `json:"allowed"`
	Status    *status  `json:"status,omitempty"`
	Patch     []byte   `json:"patch,omitempty"` // base64, as encoding/json has it
	PatchType string   `json:"patchType,omitempty"`
	Audit     audit    `json:"auditAnnotations"`
	Warnings  []string `json:"warnings,omitempty"`
}

// audit goes into the API server's audit log, where the keys are prefixed with the name of
// the webhook.
type audit struct {
	Outcome    mutate.Outcome `json:"outcome"`
	Reason     mutate.Reason  `json:"reason,omitempty"`
	Sidecars   string         `json:"sidecars,omitempty"`
	Generation string         `json:"generation,omitempty"` // the API has strings only
}

// status is the part of a metav1.Status that a denial shows to the user.
type status struct {
	Status  string `json:"status"`
	Message string `json:"message"`
	Reason  string `json:"reason"`
	Code    int    `json:"code"`
}

// answerTo puts a decision in the words of the API.
func answerTo(r *review, d *mutate.Decision) answer {
	a := r.answer(d)
	switch {
	case d.Outcome == mutate.Denied:
		a.Response.Status = failure(http.StatusForbidden, "Forbidden", told(d))
		a.Response.Warnings = []string{warning(told(d))}
	case d.Patch != nil:
		a.Response.Patch, a.Response.PatchType = d.Patch, "JSONPatch"
	case d.Cause != nil:
		a.Response.Warnings = []string{warning("the pod is admitted without sidecars: " + told(d))}
	}
	return a
}

// rejection answers a review that could not be decoded, as far as its uid could be.
func rejection(r *review, d *mutate.Decision) answer {
	a := r.answer(d)
	a.Response.Status = failure(http.StatusBadRequest, "BadRequest", d.Message())
	return a
}

// answer is the one to the review, without what depends on the outcome.
func (r *review) answer(d *mutate.Decision) answer {
	return newAnswer(r.APIVersion, r.Request.UID, d.Outcome != mutate.Denied, audit{
		Outcome: d.Outcome, Reason: d.Reason,
		Sidecars: mutate.Injections(d.Sidecars), Generation: strconv.FormatUint(d.Generation, 10),
	})
}

// newAnswer has the version and uid of the question. A version that we do not know is answered
// as v1.
func newAnswer(version, uid string, allowed bool, a audit) answer {
	if version != v1beta1 {
		version = v1
	}
	return answer{Kind: reviewKind, APIVersion: version, Response: response{UID: uid, Allowed: allowed, Audit: a}}
}

func failure(code int, reason, message string) *status {
	return &status{Status: "Failure", Message: clipped(message, maxMessage), Reason: reason, Code: code}
}

// maxMessage is the longest text that goes back to a user or into the log. It may quote the
// pod, of which nothing was validated yet.
const maxMessage = 1024

// told is what a user is told, with the reason's own word, by which the docs can be searched.
func told(d *mutate.Decision) string {
	return string(d.Reason) + ": " + d.Message()
}

// warning is the text of a warning. The API server lets 4096 characters of all warnings through;
// where several webhooks have more than that to say, 256 of each.
func warning(message string) string {
	return clipped("sidecar injector: "+message, maxMessage)
}

// clipped is the text, cut to at most so many bytes.
func clipped(text string, most int) string {
	const dots = "..."
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-len(dots)], "") + dots
}
