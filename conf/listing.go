package conf

import (
	"encoding/json"
	"iter"
	"slices"

	"k8s-sidecar-injector/conf/params"
)

// Listing describes a set, in the JSON format of docs/list.md. No field is omitted, and no list is null.
type Listing struct {
	// Items are the sidecars in service, by ref.
	Items []ListedSidecar `json:"items"`
	// Rejections are the documents that could not be served, by origin.
	Rejections []ListedRejection `json:"rejections"`
}

// ListedSidecar describes a sidecar without its content.
type ListedSidecar struct {
	Ref    string `json:"ref"`
	Origin string `json:"origin"`
	Digest string `json:"digest"`
	// Stale is set if the document was changed and rejected, so that its last valid version is in service.
	Stale bool `json:"stale"`
	// Level is the level of the Pod Security Standards, and Violations are the checks of the next stricter one
	// that fail.
	Level      string   `json:"level"`
	Violations []string `json:"violations"`
	// Inherits is the chain of bases. The first is the one that the document names.
	Inherits []ListedBase `json:"inherits"`
	// Images are those of the containers, without duplicates. They may have placeholders.
	Images []string `json:"images"`
	// Parameters are those that the definition declares, by name.
	Parameters []ListedParameter `json:"parameters"`
	// AllowedNamespaces are patterns. If the definition has none, the pattern is `*`.
	AllowedNamespaces []string `json:"allowedNamespaces"`
	// OS is linux, windows or any.
	OS                  string   `json:"os"`
	InJobs              string   `json:"inJobs"`
	SkipHostNetworkPods bool     `json:"skipHostNetworkPods"`
	Warnings            []string `json:"warnings"`
}

// ListedBase is a definition that another inherits from.
type ListedBase struct {
	Ref    string `json:"ref"`
	Origin string `json:"origin"`
}

// ListedParameter describes a parameter.
type ListedParameter struct {
	Name string `json:"name"`
	Type string `json:"type"`
	// Default is null if there is none: From or an annotation must set the value.
	Default *string `json:"default"`
	// From is the field of the pod that provides the value if no annotation does.
	From string `json:"from"`
	// Min, Max and Pattern are empty if there is no such rule. Without an enum, the list is empty.
	Min     string   `json:"min"`
	Max     string   `json:"max"`
	Enum    []string `json:"enum"`
	Pattern string   `json:"pattern"`
}

// ListedRejection describes a rejected document.
type ListedRejection struct {
	// Ref is empty if the name cannot be read.
	Ref    string   `json:"ref"`
	Origin string   `json:"origin"`
	Errors []string `json:"errors"`
	// Stale are the refs whose last valid version stays in service.
	Stale []string `json:"stale"`
}

// Listing returns a description of the set. It costs time proportional to the definitions.
func (s *Set) Listing() Listing {
	listing := Listing{Items: []ListedSidecar{}, Rejections: []ListedRejection{}}
	for _, sidecar := range s.Sidecars {
		listing.Items = append(listing.Items, sidecar.Listed())
	}
	for i := range s.Rejections {
		listing.Rejections = append(listing.Rejections, s.Rejections[i].Listed())
	}
	return listing
}

// Listed returns a description of the sidecar.
func (s *Sidecar) Listed() ListedSidecar {
	listed := ListedSidecar{
		Ref: s.Ref.String(), Origin: s.Origin.String(), Digest: s.Digest, Stale: s.Stale,
		Level: string(s.Level), Violations: append([]string{}, s.Violations...),
		Inherits: []ListedBase{}, Images: s.images(), Parameters: []ListedParameter{},
		AllowedNamespaces: []string{"*"}, OS: s.OS, InJobs: s.InJobs, SkipHostNetworkPods: s.SkipHostNetworkPods,
		Warnings: []string{},
	}
	for base := range s.Bases() {
		listed.Inherits = append(listed.Inherits, ListedBase{base.Ref.String(), base.Origin.String()})
	}
	for i := range s.Parameters {
		if p := &s.Parameters[i]; !p.Implicit() {
			listed.Parameters = append(listed.Parameters, listedParameter(p))
		}
	}
	if s.AllowedNamespaces != nil {
		listed.AllowedNamespaces = append([]string{}, s.AllowedNamespaces...)
	}
	for _, warning := range s.Warnings {
		listed.Warnings = append(listed.Warnings, warning.Error())
	}
	return listed
}

func listedParameter(p *params.Parameter) ListedParameter {
	listed := ListedParameter{
		Name: p.Name, Type: string(p.Type), From: string(p.From),
		Min: p.Min.String(), Max: p.Max.String(), Enum: []string{}, Pattern: p.Pattern,
	}
	if p.Default != nil {
		listed.Default = new(p.Default.String())
	}
	for _, value := range p.Enum {
		listed.Enum = append(listed.Enum, value.String())
	}
	return listed
}

// images returns the images of the containers as the author wrote them, in the order of the resulting pod.
func (s *Sidecar) images() []string {
	type containers []struct{ Image string }
	var lists struct{ PrependInitContainers, InitContainers, PrependContainers, Containers containers }
	if err := json.Unmarshal(s.text, &lists); err != nil {
		panic(err) // a load has encoded it
	}
	images, seen := []string{}, make(map[string]bool)
	for _, container := range slices.Concat(
		lists.PrependInitContainers, lists.InitContainers, lists.PrependContainers, lists.Containers) {
		if image := container.Image; image != "" && !seen[image] {
			images, seen[image] = append(images, image), true
		}
	}
	return images
}

// Listed returns a description of the rejection.
func (r *Rejection) Listed() ListedRejection {
	listed := ListedRejection{Origin: r.Origin.String(), Errors: []string{}, Stale: []string{}}
	if r.Ref != (Ref{}) {
		listed.Ref = r.Ref.String()
	}
	for _, err := range r.Errors.Errors {
		listed.Errors = append(listed.Errors, err.Error())
	}
	for _, ref := range r.Stale {
		listed.Stale = append(listed.Stale, ref.String())
	}
	return listed
}

// Base is a definition that another inherits from.
type Base struct {
	Ref    Ref
	Origin Origin

	next *Base // its own base
}

// Bases yields the chain of bases, beginning with the one that the document names.
func (s *Sidecar) Bases() iter.Seq[*Base] {
	return func(yield func(*Base) bool) {
		base := s.base
		for base != nil && yield(base) {
			base = base.next
		}
	}
}

// Definition returns the definition with all that it inherits, as decoded JSON. It is a new copy. Numbers are
// json.Number, and parameters are not substituted.
func (s *Sidecar) Definition() map[string]any {
	definition, err := decodeText(s.text)
	if err != nil {
		panic(err) // a load has encoded it
	}
	return definition
}
