package cli

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/json"

	"k8s-sidecar-injector/conf/podrules"
)

// fault is an error of a field that the API server would report.
type fault struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

func (f fault) String() string {
	return printable(f.Field + ": " + f.Message)
}

// introducedFaults returns the faults of the injected pod that the pod as received does not have. The path is that of
// the pod in the manifest. The result is nil if one of them cannot be decoded.
func introducedFaults(received, injected []byte, path string) []fault {
	var before, after corev1.Pod
	if json.Unmarshal(received, &before) != nil || json.Unmarshal(injected, &after) != nil {
		return nil
	}
	var faults []fault
	for _, err := range podrules.Introduced(&before, &after) {
		faults = append(faults, fault{
			Field:   strings.TrimPrefix(fieldPath(path)+"."+err.Field, "."),
			Message: err.ErrorBody(),
		})
	}
	return faults
}

func listFaults(faults []fault) string {
	texts := make([]string, len(faults))
	for i, f := range faults {
		texts[i] = f.String()
	}
	return strings.Join(texts, "; ")
}
