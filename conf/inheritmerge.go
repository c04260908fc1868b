package conf

import (
	"maps"
	"slices"
)

// merge returns the child merged with its flattened base. Neither is changed.
func merge(base, child tree) tree { return mergeFields(base, child, "") }

// mergeFields merges two objects whose fields have paths with the prefix.
func mergeFields(base, child tree, prefix string) tree {
	merged := make(tree, len(base)+len(child))
	maps.Copy(merged, base)
	for key, value := range child {
		path := prefix + key
		switch {
		case value == nil:
		case slices.Contains(namedLists(), path):
			merged[key] = mergeNamed(elements(base, key), elements(child, key))
		case slices.Contains(appendedLists(), path):
			merged[key] = slices.Concat(elements(base, key), elements(child, key))
		case slices.Contains(overlaidMaps(), path):
			merged[key] = overlay(base[key], value)
		case slices.Contains(mergedObjects(), path):
			under, _ := base[key].(tree)
			over, _ := value.(tree)
			merged[key] = mergeFields(under, over, path+".")
		default:
			merged[key] = value
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
func mergeNamed(base, child []any) []any {
	result := slices.Clone(base)
	at := make(map[string]int, len(result))
	for i, element := range slices.Backward(result) {
		at[nameOf(element)] = i
	}
	for _, element := range child {
		name := nameOf(element)
		if i, found := at[name]; found {
			result[i] = element
			continue
		}
		at[name] = len(result)
		result = append(result, element)
	}
	return result
}

// elements returns the list, or nil if it is absent or null.
func elements(t tree, list string) []any {
	found, _ := t[list].([]any)
	return found
}

func nameOf(element any) string {
	return textOf(element, "name")
}

// textOf returns a member of an object, or an empty string if it is absent or null.
func textOf(object any, key string) string {
	members, _ := object.(tree)
	text, _ := members[key].(string)
	return text
}
