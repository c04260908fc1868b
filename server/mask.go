package server

import (
	"maps"
	"regexp"

	"k8s-sidecar-injector/conf"
)

// masked replaces what may be secret.
const masked = "***"

// placeholder matches `${name}` and captures the name.
var placeholder = regexp.MustCompile(`\$\{([^{}]*)\}`)

// maskEnv returns a copy of a decoded definition in which the values of variables and headers are masked.
func maskEnv(definition map[string]any) any { return maskTree("", definition) }

// maskTree copies the value of a field. The elements of a list belong to the field of the list.
func maskTree(field string, value any) any {
	switch value := value.(type) {
	case []any:
		list := make([]any, len(value))
		for i, element := range value {
			list[i] = maskTree(field, element)
		}
		return list
	case map[string]any:
		object := maps.Clone(value)
		for key, member := range object {
			if conf.IsSecret(field, key) {
				object[key] = masked
			} else {
				object[key] = maskTree(key, member)
			}
		}
		return object
	}
	return value
}

// addPlaceholders adds the names of the parameters that are in values of variables and headers.
func addPlaceholders(names map[string]bool, field string, value any) {
	switch value := value.(type) {
	case []any:
		for _, element := range value {
			addPlaceholders(names, field, element)
		}
	case map[string]any:
		for key, member := range value {
			text, _ := member.(string)
			if !conf.IsSecret(field, key) {
				addPlaceholders(names, key, member)
				continue
			}
			for _, match := range placeholder.FindAllStringSubmatch(text, -1) {
				names[match[1]] = true
			}
		}
	}
}

// maskParameters masks the declared values of the parameters with these names.
func maskParameters(parameters []conf.ListedParameter, names map[string]bool) {
	for i := range parameters {
		p := &parameters[i]
		if !names[p.Name] {
			continue
		}
		if p.Default != nil {
			p.Default = new(masked)
		}
		for j := range p.Enum {
			p.Enum[j] = masked
		}
	}
}
