package params

import (
	"errors"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// PodField is a field of the pod that a placeholder may refer to, such as `pod.labels.team`.
type PodField string

// The fields of a pod. PodLabels and PodAnnotations need a key, as in `pod.labels.team`. A pod of a
// controller has no name yet, because the API server generates it after admission.
const (
	PodName           PodField = "pod.name"
	PodNamespace      PodField = "pod.namespace"
	PodServiceAccount PodField = "pod.serviceAccountName"
	PodLabels         PodField = "pod.labels"
	PodAnnotations    PodField = "pod.annotations"
)

const podPrefix = "pod."

// PodFields returns the names of the fields without a key.
func PodFields() []string {
	return []string{string(PodName), string(PodNamespace), string(PodServiceAccount)}
}

var errPodField = errors.New("want pod.name, pod.namespace, pod.serviceAccountName, pod.labels.KEY or " +
	"pod.annotations.KEY")

// Cut splits `pod.labels.KEY` into PodLabels and the key, and annotations likewise. For other fields it
// returns the field and no key.
func (f PodField) Cut() (kind PodField, key string) {
	for _, kind := range []PodField{PodLabels, PodAnnotations} {
		if key, found := strings.CutPrefix(string(f), string(kind)+"."); found {
			return kind, key
		}
	}
	return f, ""
}

func (f PodField) validate() error {
	switch kind, key := f.Cut(); kind {
	case PodName, PodNamespace, PodServiceAccount:
		return nil
	case PodLabels, PodAnnotations:
		if len(validation.IsQualifiedName(strings.ToLower(key))) == 0 {
			return nil
		}
	}
	return errPodField
}
