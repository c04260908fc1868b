package conf

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// CopyFrom names variables and mounts of a container of the pod that containers of the definition get.
type CopyFrom struct {
	// Container or init container of the definition. Absent: all of them.
	Container string `json:"container,omitempty"`
	// Container or init container of the pod as it was sent. Absent or empty: its first container. It may have
	// placeholders.
	From string `json:"from,omitempty"`
	// Names of variables.
	Env []string `json:"env,omitempty"`
	// Names of volumes. All their mounts are copied.
	VolumeMounts []string `json:"volumeMounts,omitempty"`
}

// A review looks up each name in a container of the pod, and copies what it finds to each container of the definition.
const (
	maxCopyFrom = 32
	maxCopied   = 100 // names of each list
)

func validateCopyFrom(entries []CopyFrom) field.ErrorList {
	list := field.NewPath("copyFrom")
	if len(entries) > maxCopyFrom {
		return field.ErrorList{field.TooMany(list, len(entries), maxCopyFrom)}
	}
	var faults field.ErrorList
	for i := range entries {
		c, at := &entries[i], list.Index(i)
		if c.From != "" {
			faults = append(faults, validateCopied(at.Child("from"), c.From, validation.IsDNS1123Label)...)
		}
		if c.Env == nil && c.VolumeMounts == nil {
			faults = append(faults, field.Required(at, "list variables in env, or volumes in volumeMounts"))
		}
		faults = append(faults, validateCopiedList(at.Child("env"), c.Env, validation.IsEnvVarName)...)
		faults = append(faults, validateCopiedList(at.Child("volumeMounts"), c.VolumeMounts, validation.IsDNS1123Label)...)
	}
	return faults
}

// validateCopiedList requires unique names, and at least one if there is a list.
func validateCopiedList(at *field.Path, names []string, check func(string) []string) field.ErrorList {
	switch {
	case names != nil && len(names) == 0:
		return field.ErrorList{field.Required(at, "the list is empty: omit it to copy nothing")}
	case len(names) > maxCopied:
		return field.ErrorList{field.TooMany(at, len(names), maxCopied)}
	}
	var faults field.ErrorList
	seen := sets.New[string]()
	for i, name := range names {
		if seen.Has(name) {
			faults = append(faults, field.Duplicate(at.Index(i), name))
		} else {
			faults = append(faults, validateCopied(at.Index(i), name, check)...)
		}
		seen.Insert(name)
	}
	return faults
}

func validateCopied(at *field.Path, name string, check func(string) []string) field.ErrorList {
	if messages := check(name); messages != nil {
		return field.ErrorList{field.Invalid(at, name, strings.Join(messages, "; "))}
	}
	return nil
}

// validateCopyTargets requires the containers that copyFrom names. Those of a definition that inherits may be in its
// base.
func validateCopyTargets(d *definition) field.ErrorList {
	known := sets.New[string]()
	for _, list := range d.containerLists() {
		for _, c := range list.containers {
			known.Insert(c.Name)
		}
	}
	var faults field.ErrorList
	for i, c := range d.CopyFrom[:min(len(d.CopyFrom), maxCopyFrom)] {
		if c.Container != "" && !known.Has(c.Container) {
			detail := "the definition has no such container" + DidYouMean(c.Container, slices.Values(sets.List(known)))
			faults = append(faults, invalid(field.NewPath("copyFrom").Index(i).Child("container"), detail))
		}
	}
	return faults
}
