package params

import (
	"errors"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// PodField is a field of the pod that a placeholder may refer to. It is comparable.
type PodField struct {
	Kind PodFieldKind
	Key  string // of a label or annotation
}

// PodFieldKind is the kind of a field, as it is written after `pod.`.
type PodFieldKind string

// The kinds of fields. The name is absent when a controller creates the pod, because the API server
// generates it after admission.
const (
	PodName           PodFieldKind = "name"
	PodNamespace      PodFieldKind = "namespace"
	PodServiceAccount PodFieldKind = "serviceAccountName"
	PodLabel          PodFieldKind = "labels"
	PodAnnotation     PodFieldKind = "annotations"
)

const podPrefix = "pod."

var errPodField = errors.New("want pod.name, pod.namespace, pod.serviceAccountName, pod.labels.KEY or " +
	"pod.annotations.KEY")

// String returns a text such as `pod.labels.team`.
func (f PodField) String() string {
	if f.Key == "" {
		return podPrefix + string(f.Kind)
	}
	return podPrefix + string(f.Kind) + "." + f.Key
}

// parsePodField parses `pod.name`, `pod.labels.KEY` and so on.
func parsePodField(text string) (PodField, error) {
	rest, found := strings.CutPrefix(text, podPrefix)
	kind, key, keyed := strings.Cut(rest, ".")
	f := PodField{Kind: PodFieldKind(kind), Key: key}
	switch f.Kind {
	case PodName, PodNamespace, PodServiceAccount:
		found = found && !keyed
	case PodLabel, PodAnnotation:
		found = found && len(validation.IsQualifiedName(strings.ToLower(key))) == 0
	default:
		found = false
	}
	if !found {
		return PodField{}, errPodField
	}
	return f, nil
}
