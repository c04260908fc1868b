package mutate

import (
	"bytes"
	"maps"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// differingField returns the first field, by name, in which two JSON objects differ, or "" if they are
// equal. Definitions are encoded with sorted keys, so equal values have equal bytes.
func differingField(a, b []byte) string {
	var before, after map[string]jsontext.Value
	if bytes.Equal(a, b) {
		return ""
	}
	if json.Unmarshal(a, &before) != nil || json.Unmarshal(b, &after) != nil {
		return "their JSON" // cannot happen: the definitions were encoded when they were loaded
	}
	all := maps.Clone(before)
	maps.Copy(all, after)
	for _, field := range slices.Sorted(maps.Keys(all)) {
		if !bytes.Equal(before[field], after[field]) {
			return field
		}
	}
	return ""
}
