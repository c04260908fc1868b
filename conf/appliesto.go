package conf

import (
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// AppliesTo selects the containers that get variables and volumeMounts. A nil AppliesTo selects all.
type AppliesTo struct {
	// Names of containers of the pod, in which `*` matches any text. Absent: all; empty: none.
	Containers []string `json:"containers,omitempty"`
	// Names of init containers of the pod, in the same way.
	InitContainers []string `json:"initContainers,omitempty"`
	// Names, without versions, of other sidecars of the request whose containers get them. `[none]`: no other
	// sidecar. Absent: all.
	Sidecars []string `json:"sidecars,omitempty"`
	// False excludes the containers and init containers of the definition itself. Absent: true.
	Own *bool `json:"own,omitempty"`
}

// Covers reports whether a container of the pod is selected.
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

// CoversContainersOf reports whether the containers of a sidecar get the variables and volumeMounts of this one.
// The other sidecar may be this one.
func (s *Sidecar) CoversContainersOf(other Ref) bool {
	switch a := s.Content().AppliesTo; {
	case a == nil:
		return true
	case other == s.Ref:
		return a.Own == nil || *a.Own
	default:
		return a.Sidecars == nil || containsFold(a.Sidecars, other.Name)
	}
}

// containsFold reports whether a list has the name of a sidecar, in any letter case.
func containsFold(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
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

// validateSidecarNames requires names of sidecars without a version, or only OptOut.
func validateSidecarNames(at *field.Path, names []string) field.ErrorList {
	switch {
	case names != nil && len(names) == 0:
		return field.ErrorList{field.Required(at, "list names of sidecars, or ["+OptOut+"]")}
	case len(names) > maxContainerPatterns:
		return field.ErrorList{field.TooMany(at, len(names), maxContainerPatterns)}
	}
	var faults field.ErrorList
	for i, name := range names {
		switch {
		case strings.Contains(name, ":"):
			faults = append(faults, field.Invalid(at.Index(i), name, "must be a name without a version"))
		case checkRefPart("name", name) != nil:
			faults = append(faults, field.Invalid(at.Index(i), name,
				"must be the name of a sidecar: 1 to 63 letters, digits, '-', '_' and '.'"))
		case containsFold(names[:i], name):
			faults = append(faults, field.Duplicate(at.Index(i), name))
		case strings.EqualFold(name, OptOut) && len(names) > 1:
			faults = append(faults, field.Invalid(at.Index(i), name, OptOut+" cannot be combined with names of sidecars"))
		}
	}
	return faults
}
