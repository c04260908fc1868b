package conf

import (
	"errors"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// PodField is something of a pod that a definition may put into its texts. It is comparable.
type PodField struct {
	Kind PodFieldKind
	Key  string // of a label or annotation
}

// PodFieldKind tells what of the pod it is, as it is written behind `pod.`.
type PodFieldKind string

// The kinds. PodName is absent while the API server has not made a name yet, which is when a
// controller creates the pod.
const (
	PodName           PodFieldKind = "name"
	PodNamespace      PodFieldKind = "namespace"
	PodServiceAccount PodFieldKind = "serviceAccountName"
	PodLabel          PodFieldKind = "labels"
	PodAnnotation     PodFieldKind = "annotations"
)

const podPrefix = "pod."

// String gives `pod.labels.team`.
func (f PodField) String() string {
	if f.Key == "" {
		return podPrefix + string(f.Kind)
	}
	return podPrefix + string(f.Kind) + "." + f.Key
}

// parsePodField reads `pod.name`, `pod.labels.KEY` and so on.
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
		return PodField{}, errors.New("want pod.name, pod.namespace, pod.serviceAccountName, pod.labels.KEY or pod.annotations.KEY")
	}
	return f, nil
}
