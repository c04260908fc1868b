package conf

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Trial is what would become of a set if one ConfigMap held other documents.
type Trial struct {
	// Rejected are the documents of that ConfigMap that would be rejected, by origin, and those
	// that would take a sidecar from whoever defines it now.
	Rejected []Rejection
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
	next := Load(append(all, documents...), s)
	trial := Trial{Rejected: s.taken(next, mine)}
	for _, rejection := range next.Rejections {
		switch {
		case mine(rejection.Origin):
			trial.Rejected = append(trial.Rejected, rejection)
		case !s.rejects(rejection.Origin):
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

// rejects tells whether the set has a rejection of that origin.
func (s *Set) rejects(origin Origin) bool {
	return slices.ContainsFunc(s.Rejections, func(r Rejection) bool { return r.Origin == origin })
}
