package mutate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// jsonDiff returns the field path of the first difference between two JSON values, in the order
// of their keys, and reports whether they differ.
func jsonDiff(a, b []byte) (path string, differ bool) {
	if bytes.Equal(a, b) {
		return "", false
	}
	var before, after any
	if !decodeExactly(a, &before) || !decodeExactly(b, &after) {
		return "its JSON", true // cannot happen: the definition was encoded when it was loaded
	}
	return diffValues("", before, after)
}

// decodeExactly does not round large numbers.
func decodeExactly(text []byte, into *any) bool {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return decoder.Decode(into) == nil
}

func diffValues(path string, a, b any) (string, bool) {
	switch a := a.(type) {
	case map[string]any:
		if b, ok := b.(map[string]any); ok {
			return diffObjects(path, a, b)
		}
	case []any:
		if b, ok := b.([]any); ok && len(a) == len(b) {
			return diffLists(path, a, b)
		}
	default:
		if a == b {
			return "", false
		}
	}
	return path, true
}

func diffObjects(path string, a, b map[string]any) (string, bool) {
	all := maps.Clone(a)
	maps.Copy(all, b)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		next := key
		if path != "" {
			next = path + "." + key
		}
		_, inA := a[key]
		_, inB := b[key]
		if inA != inB {
			return next, true
		}
		if found, differ := diffValues(next, a[key], b[key]); differ {
			return found, true
		}
	}
	return "", false
}

func diffLists(path string, a, b []any) (string, bool) {
	for i := range a {
		if found, differ := diffValues(fmt.Sprintf("%s[%d]", path, i), a[i], b[i]); differ {
			return found, true
		}
	}
	return "", false
}
