package conf

import (
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// AppliesTo selects the containers of the pod that get env, envFrom and volumeMounts, by patterns of their names
// in which `*` matches any text. A nil list matches all containers of its kind, and an empty list none.
type AppliesTo struct {
	Containers     []string `json:"containers,omitempty"`
	InitContainers []string `json:"initContainers,omitempty"`
}

// Covers reports whether a container of the pod is selected. A nil AppliesTo selects all containers.
func (a *AppliesTo) Covers(init bool, name string) bool {
	if a == nil {
		return true
	}
	patterns := a.Containers
	if init {
		patterns = a.InitContainers
	}
	return patterns == nil || matchesAny(patterns, name)
}

// Allows reports whether the sidecar may be injected into pods of the namespace.
func (s *Sidecar) Allows(namespace string) bool {
	return s.AllowedNamespaces == nil || matchesAny(s.AllowedNamespaces, namespace)
}

const (
	// A review matches the patterns of namespaces once, and those of containers with each container of the pod.
	maxNamespacePatterns = 250
	maxContainerPatterns = 32

	maxName = 253 // bytes of a pattern, and of the name of a Kubernetes object
)

func matchesAny(patterns []string, name string) bool {
	return len(name) <= maxName && slices.ContainsFunc(patterns, func(pattern string) bool {
		matched, err := path.Match(pattern, name)
		return err == nil && matched // patterns with an error were rejected
	})
}

// validatePatterns requires names of Kubernetes objects that may have `*` in place of any text.
func validatePatterns(at *field.Path, patterns []string, most int) field.ErrorList {
	if len(patterns) > most {
		return field.ErrorList{field.TooMany(at, len(patterns), most)}
	}
	var faults field.ErrorList
	for i, pattern := range patterns {
		valid := pattern != "" && len(pattern) <= maxName &&
			strings.Trim(pattern, "abcdefghijklmnopqrstuvwxyz0123456789-*") == ""
		if !valid {
			faults = append(faults, field.Invalid(at.Index(i), pattern,
				"must be 1 to 253 lower-case letters, digits, '-' and '*', which matches any text"))
		}
	}
	return faults
}
