package conf

import (
	"reflect"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Format returns the Go type of a sidecar definition.
func Format() reflect.Type {
	return reflect.TypeFor[definition]()
}

// ScanName returns the name in a document that cannot be decoded.
func ScanName(content []byte) Ref {
	return scanName(content)
}

// Results returns the identity of the result of parsing each document. It is equal in two sets if the second load
// reused the result.
func Results(s *Set) map[Origin]any {
	results := make(map[Origin]any, len(s.documents))
	for _, document := range s.documents {
		if document.known != nil {
			results[document.Origin] = document.known.parsed
		}
	}
	return results
}

// PlaceholderFields returns the paths of all fields of the format that may have placeholders.
func PlaceholderFields() []string {
	everything, _ := withPlaceholders(Format()).(tree)
	for _, list := range []string{"prependInitContainers", "initContainers", "prependContainers"} {
		delete(everything, list) // as containers
	}
	everything["parameters"] = tree{
		"s": tree{"enum": []any{"s"}}, "i": tree{"type": "int"}, "b": tree{"type": "bool"}, "q": tree{"type": "quantity"},
	}
	var paths []string
	for _, text := range decodeDefinition(everything).texts {
		paths = append(paths, text.Path.String())
	}
	return paths
}

// withPlaceholders returns a value in which each string, number and boolean of the type is a placeholder.
func withPlaceholders(t reflect.Type) any {
	switch t {
	case reflect.TypeFor[resource.Quantity]():
		return "${q}"
	case reflect.TypeFor[intstr.IntOrString]():
		return "${i}"
	case reflect.TypeFor[metav1.Time]():
		return "${s}"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return withPlaceholders(t.Elem())
	case reflect.Struct:
		object := make(tree)
		for name, member := range jsonFields(t) {
			object[name] = withPlaceholders(member)
		}
		return object
	case reflect.Slice:
		return []any{withPlaceholders(t.Elem())}
	case reflect.Map:
		return tree{"cpu": withPlaceholders(t.Elem())}
	case reflect.String:
		return "${s}"
	case reflect.Bool:
		return "${b}"
	default:
		return "${i}"
	}
}

// Slowdown is more than 1 with the race detector, which also makes a sync.Pool drop items.
const Slowdown = slowdown
