package conf

import (
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// AppliesTo says which of the pod's own containers get env, envFrom and volumeMounts, by
// patterns of their names in which `*` stands for any text. A list that is absent or null
// covers all containers of its kind, an empty one none.
type AppliesTo struct {
	Containers     []string `json:"containers,omitempty"`
	InitContainers []string `json:"initContainers,omitempty"`
}

// Covers tells whether a received container of that name gets them. A nil AppliesTo covers
// every container.
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

// Allows tells whether pods of the namespace may have the sidecar.
func (s *Sidecar) Allows(namespace string) bool {
	return s.AllowedNamespaces == nil || matchesAny(s.AllowedNamespaces, namespace)
}

// The limits of a list of patterns, since a review matches all of them, and of a pattern and what it
// matches, which are names of Kubernetes objects.
const (
	maxPatterns = 250
	maxName     = 253
)

func matchesAny(patterns []string, name string) bool {
	return len(name) <= maxName && slices.ContainsFunc(patterns, func(pattern string) bool {
		matched, err := path.Match(pattern, name)
		return err == nil && matched // load takes no pattern with an error
	})
}

func validateAppliesTo(at *field.Path, a *AppliesTo) field.ErrorList {
	if a == nil {
		return nil
	}
	faults := validatePatterns(at.Child("containers"), a.Containers)
	return append(faults, validatePatterns(at.Child("initContainers"), a.InitContainers)...)
}

// validatePatterns wants names of Kubernetes objects in which some text may be a `*`.
func validatePatterns(at *field.Path, patterns []string) field.ErrorList {
	if len(patterns) > maxPatterns {
		return field.ErrorList{field.TooMany(at, len(patterns), maxPatterns)}
	}
	var faults field.ErrorList
	for i, pattern := range patterns {
		odd := strings.ContainsFunc(pattern, func(r rune) bool {
			return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-*", r)
		})
		if pattern == "" || len(pattern) > maxName || odd {
			faults = append(faults, field.Invalid(at.Index(i), pattern, "want a name, of lower-case letters, digits and '-', in which '*' stands for any text"))
		}
	}
	return faults
}
