package server

import (
	"maps"
	"regexp"
	"strings"

	"k8s-sidecar-injector/conf"
)

// masked replaces what may be secret.
const masked = "***"

// placeholder matches `${name}` and captures the name.
var placeholder = regexp.MustCompile(`\$\{([^{}]*)\}`)

// isValue reports whether an element of this field has a value that may be secret: variables, and the headers of probes
// and hooks.
func isValue(field, key string) bool {
	return key == "value" && (strings.HasSuffix(strings.ToLower(field), "env") || field == "httpHeaders")
}

// maskEnv returns a copy of a decoded definition in which the values of variables and headers are masked. It calls
// visit with each of them.
func maskEnv(definition map[string]any, visit func(value any)) map[string]any {
	tree, _ := maskTree("", definition, visit).(map[string]any)
	return tree
}

// maskTree copies the value of a field. The elements of a list belong to the field of the list.
func maskTree(field string, value any, visit func(value any)) any {
	switch value := value.(type) {
	case []any:
		list := make([]any, len(value))
		for i, element := range value {
			list[i] = maskTree(field, element, visit)
		}
		return list
	case map[string]any:
		object := maps.Clone(value)
		for key, member := range object {
			if isValue(field, key) {
				visit(member)
				object[key] = masked
				continue
			}
			object[key] = maskTree(key, member, visit)
		}
		return object
	}
	return value
}

// placeholdersOfEnv returns the names of the parameters that are in values of variables and headers.
func placeholdersOfEnv(definition map[string]any) map[string]bool {
	names := make(map[string]bool)
	maskEnv(definition, func(value any) {
		text, _ := value.(string)
		for _, match := range placeholder.FindAllStringSubmatch(text, -1) {
			names[match[1]] = true
		}
	})
	return names
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
