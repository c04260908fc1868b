package conf

import (
	"reflect"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Format is the Go type of a sidecar definition.
func Format() reflect.Type {
	return reflect.TypeFor[definition]()
}

// Pod is the pod that is judged of a definition, which is empty but for what fill makes of it.
func Pod(fill func(definition reflect.Value)) (*metav1.ObjectMeta, *corev1.PodSpec) {
	d := new(definition)
	fill(reflect.ValueOf(d).Elem())
	return d.pod()
}

// ScanName is the name that is found in a document that cannot be decoded.
func ScanName(content []byte) Ref {
	return scanName(content)
}

// Enum is what the format allows for a string type; nil means free text.
func Enum(t reflect.Type) []string {
	return enum(t)
}

// Trees tells the identity of what each document was parsed to. It is equal in two sets
// only where the second took over the work of the first.
func Trees(s *Set) map[Origin]uintptr {
	trees := make(map[Origin]uintptr, len(s.parsed))
	for origin, p := range s.parsed {
		trees[origin] = reflect.ValueOf(p.tree).Pointer()
	}
	return trees
}

// PatternInstructions is the bound of what an expression compiles to.
func PatternInstructions(text string) (int, error) {
	return patternInstructions(text)
}
