package conf

import "reflect"

// Format is the Go type of a sidecar definition.
func Format() reflect.Type {
	return reflect.TypeFor[definition]()
}

// ScanName is the name that is found in a document that cannot be decoded.
func ScanName(content []byte) Ref {
	return scanName(content)
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
