package conf

import (
	"bytes"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Trial is what would become of a set if one ConfigMap held other documents.
type Trial struct {
	// Rejected are the documents of that ConfigMap that would be rejected, by origin, and those
	// that would take a sidecar from whoever defines it now.
	Rejected []Rejection
	// Still are those that would be rejected as well, but are so already and have not changed,
	// by origin.
	Still []Rejection
	// Broken are the documents of others that would be rejected and are not now, by origin.
	Broken []Rejection
}

// Try tells what Load would make of the documents of the set with those of one ConfigMap
// replaced by the given ones; none of them means that the ConfigMap is gone. The set is not
// changed and must not be nil.
func (s *Set) Try(namespace, name string, documents []Document) Trial {
	place := placeOf(namespace, name)
	mine := func(o Origin) bool { return o.Kind == ConfigMap && o.Place == place }
	all := slices.DeleteFunc(slices.Clone(s.documents), func(d Document) bool { return mine(d.Origin) })
	next := s.rules.Load(append(all, documents...), s)
	trial := Trial{Rejected: s.taken(next, mine)}
	rejected := s.rejected()
	for _, rejection := range next.Rejections {
		at := rejection.Origin
		switch {
		case mine(at) && rejected[at] && next.parsed[at].document.like(s.parsed[at].document):
			trial.Still = append(trial.Still, rejection)
		case mine(at):
			trial.Rejected = append(trial.Rejected, rejection)
		case !rejected[at]:
			trial.Broken = append(trial.Broken, rejection)
		}
	}
	slices.SortFunc(trial.Rejected, compareRejections)
	return trial
}

// taken are the sidecars that come from one place in the next set, and from another now: the
// order of names would decide who has them.
func (s *Set) taken(next *Set, mine func(Origin) bool) []Rejection {
	owners := make(map[Ref]Origin, len(s.Sidecars))
	for _, sidecar := range s.Sidecars {
		owners[sidecar.Ref] = sidecar.Origin
	}
	var taken []Rejection
	for _, sidecar := range next.Sidecars {
		owner, known := owners[sidecar.Ref]
		if !known || mine(owner) || !mine(sidecar.Origin) {
			continue
		}
		fault := field.Duplicate(field.NewPath("name"), sidecar.Ref.String())
		fault.Detail = fmt.Sprintf("defined by %s", owner)
		taken = append(taken, Rejection{
			Origin: sidecar.Origin,
			Errors: joined([]error{&Error{Origin: sidecar.Origin, Err: fault}}),
		})
	}
	return taken
}

// rejected are the origins of what is rejected.
func (s *Set) rejected() map[Origin]bool {
	origins := make(map[Origin]bool, len(s.Rejections))
	for _, r := range s.Rejections {
		origins[r.Origin] = true
	}
	return origins
}

// like tells whether two documents have the same bytes or, where they are not read, the same
// reason for it.
func (d Document) like(other Document) bool {
	if d.Err != nil && other.Err != nil {
		return d.Err.Error() == other.Err.Error()
	}
	return d.Err == nil && other.Err == nil && bytes.Equal(d.Content, other.Content)
}
