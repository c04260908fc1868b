package conf

import (
	"maps"
	"slices"
)

// merge returns the child merged with its flattened base. Neither is changed.
func merge(base, child tree) tree {
	merged := maps.Clone(base)
	for key, value := range child {
		if value != nil {
			merged[key] = value
		}
	}
	for _, list := range namedLists() {
		mergeNamed(merged, list, base, child)
	}
	for _, list := range appendedLists() {
		if both := slices.Concat(elements(base, list), elements(child, list)); len(both) > 0 {
			merged[list] = both
		}
	}
	for _, name := range overlaidMaps() {
		if both := overlay(base[name], child[name]); len(both) > 0 {
			merged[name] = both
		}
	}
	return merged
}

// overlay returns the members of both objects. The child's members win.
func overlay(base, child any) tree {
	under, _ := base.(tree)
	over, _ := child.(tree)
	both := make(tree, len(under)+len(over))
	maps.Copy(both, under)
	maps.Copy(both, over)
	return both
}

// mergeNamed replaces elements of the base by elements of the child with the same name, and appends the others.
func mergeNamed(merged tree, list string, base, child tree) {
	result := slices.Clone(elements(base, list))
	at := make(map[string]int, len(result))
	for i, element := range slices.Backward(result) {
		at[nameOf(element)] = i
	}
	for _, element := range elements(child, list) {
		name := nameOf(element)
		if i, found := at[name]; found {
			result[i] = element
			continue
		}
		at[name] = len(result)
		result = append(result, element)
	}
	if len(result) > 0 {
		merged[list] = result
	}
}

// elements returns the list, or nil if it is absent or null.
func elements(t tree, list string) []any {
	found, _ := t[list].([]any)
	return found
}

func nameOf(element any) string {
	name, _ := element.(tree)["name"].(string)
	return name
}
