package cli

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/json"

	"k8s-sidecar-injector/conf/podrules"
)

// fault is a field that the API server would reject.
type fault struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

func (f fault) String() string {
	return printable(f.Field + ": " + f.Message)
}

// introducedFaults returns what the API server would reject in the injected pod and not in the pod
// as received, which is at the path of its manifest. It returns none if either is not a pod.
func introducedFaults(received, injected []byte, path string) []fault {
	var before, after corev1.Pod
	if json.Unmarshal(received, &before) != nil || json.Unmarshal(injected, &after) != nil {
		return nil
	}
	var faults []fault
	for _, err := range podrules.Introduced(&before, &after) {
		faults = append(faults, fault{
			Field:   strings.TrimPrefix(field(path)+"."+err.Field, "."),
			Message: err.ErrorBody(),
		})
	}
	return faults
}
