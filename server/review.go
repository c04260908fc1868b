package server

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/mutate/jsonview"
)

const (
	reviewKind = "AdmissionReview"
	v1         = "admission.k8s.io/v1"
	v1beta1    = "admission.k8s.io/v1beta1"
)

// review is an AdmissionReview with its request.
type review struct {
	Kind       string         `json:"kind"`
	APIVersion string         `json:"apiVersion"`
	Request    mutate.Request `json:"request"`
}

// reviewOf is an AdmissionReview with a request of another type.
type reviewOf[R any] struct {
	Kind       string `json:"kind"`
	APIVersion string `json:"apiVersion"`
	Request    R      `json:"request"`
}

// decodeReviewOf decodes a review. It does not check it.
func decodeReviewOf[R any](body []byte) (r reviewOf[R], err error) {
	if err := json.Unmarshal(body, &r); err != nil {
		return r, fmt.Errorf("the body is not an AdmissionReview: %w", mutate.DecodeError(err, ""))
	}
	return r, nil
}

// decodeReview decodes a valid review in one pass. The view decodes usual reviews, and the library all others. If
// decodeReview returns an error, the review has its version, its uid and its names as far as they could be decoded, so
// that it can be answered and logged.
func decodeReview(body []byte, view jsonview.View[review]) (*review, error) {
	r := new(review)
	if view.Unmarshal(body, r) {
		return r, checkReview(r.Kind, r.APIVersion, r.Request.UID)
	}
	*r = review{}
	if err := json.Unmarshal(body, r); err != nil {
		described := describe(err)
		// Decode it again without the fields of a pod. Only the creation of a pod needs them.
		skipped := json.JoinUnmarshalers(skip[mutate.Spec](), skip[mutate.Map]())
		*r = review{}
		if json.Unmarshal(body, r, json.WithUnmarshalers(skipped)) != nil || r.Request.PodCreate() {
			return r, described
		}
	}
	return r, checkReview(r.Kind, r.APIVersion, r.Request.UID)
}

// decodeObject decodes the object of a review into a view.
func decodeObject(body []byte, view any) error {
	r := struct {
		Request struct {
			Object any `json:"object"`
		} `json:"request"`
	}{}
	r.Request.Object = view
	return json.Unmarshal(body, &r)
}

// skip returns a decoder that skips values of a type.
func skip[T any]() *json.Unmarshalers {
	return json.UnmarshalFromFunc(func(decoder *jsontext.Decoder, _ *T) error { return decoder.SkipValue() })
}

// describe returns an error of decoding a review of a pod for the user.
func describe(err error) error {
	described := mutate.DecodeError(err, "")
	if _, ok := errors.AsType[*mutate.LimitError](err); ok {
		return fmt.Errorf("the pod exceeds a limit: %w", described)
	}
	return fmt.Errorf("the body is not an AdmissionReview of a pod: %w", described)
}

// checkReview checks the fields that every review has.
func checkReview(kind, version, uid string) error {
	switch {
	case kind != reviewKind:
		return fmt.Errorf("want kind %s, got %q", reviewKind, kind)
	case version != v1 && version != v1beta1:
		return fmt.Errorf("want apiVersion %s or %s, got %q", v1, v1beta1, version)
	case uid == "":
		return errors.New("the AdmissionReview has no request with a uid")
	}
	return nil
}
