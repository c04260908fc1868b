package params

import (
	"errors"
	"slices"
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
	PodRunAsUser      PodField = "pod.securityContext.runAsUser"
	PodRunAsGroup     PodField = "pod.securityContext.runAsGroup"
	PodFSGroup        PodField = "pod.securityContext.fsGroup"
	PodLabels         PodField = "pod.labels"
	PodAnnotations    PodField = "pod.annotations"
)

const podPrefix = "pod."

// PodFields returns the names of the fields without a key.
func PodFields() []string {
	return []string{
		string(PodName), string(PodNamespace), string(PodServiceAccount),
		string(PodRunAsUser), string(PodRunAsGroup), string(PodFSGroup),
	}
}

func errPodField() error {
	return errors.New("want " + strings.Join(PodFields(), ", ") + ", pod.labels.KEY or pod.annotations.KEY")
}

// InSecurityContext reports whether the field is in the security context of the pod.
func (f PodField) InSecurityContext() bool {
	return strings.HasPrefix(string(f), podPrefix+"securityContext.")
}

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
	_, key := f.Cut()
	if slices.Contains(PodFields(), string(f)) || key != "" && len(validation.IsQualifiedName(strings.ToLower(key))) == 0 {
		return nil
	}
	return errPodField()
}
