package mutate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// difference tells the field path of the first difference of two JSON values, in the order of
// the keys, and whether there is one.
func difference(a, b []byte) (path string, differ bool) {
	if bytes.Equal(a, b) {
		return "", false
	}
	var before, after any
	if !decodeExactly(a, &before) || !decodeExactly(b, &after) {
		return "its JSON", true // load has encoded both
	}
	return differing("", before, after)
}

// decodeExactly keeps large numbers apart.
func decodeExactly(text []byte, into *any) bool {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return decoder.Decode(into) == nil
}

func differing(path string, a, b any) (string, bool) {
	switch a := a.(type) {
	case map[string]any:
		if b, ok := b.(map[string]any); ok {
			return differingObject(path, a, b)
		}
	case []any:
		if b, ok := b.([]any); ok && len(a) == len(b) {
			return differingList(path, a, b)
		}
	default:
		if a == b {
			return "", false
		}
	}
	return path, true
}

func differingObject(path string, a, b map[string]any) (string, bool) {
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
		if at, differ := differing(next, a[key], b[key]); differ {
			return at, true
		}
	}
	return "", false
}

func differingList(path string, a, b []any) (string, bool) {
	for i := range a {
		if at, differ := differing(fmt.Sprintf("%s[%d]", path, i), a[i], b[i]); differ {
			return at, true
		}
	}
	return "", false
}
