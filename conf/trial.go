package conf

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Trial is what would become of a set if one ConfigMap held other documents.
type Trial struct {
	// Rejected are the documents of that ConfigMap that would be rejected, by origin, and those
	// that would take a ref from its owner.
	Rejected []Rejection
	// Still are those that would be rejected as well, but are so already and have not changed,
	// by origin.
	Still []Rejection
	// Broken are the documents of others that would be rejected and are not now, by origin.
	Broken []Rejection
}

// Try loads the documents of the set with those of one ConfigMap replaced by the given ones; none of
// them means that the ConfigMap is gone. The documents of a ConfigMap that does not exist yet have no
// time of creation. The set is not changed and must not be nil. The error is that of Load.
func (s *Set) Try(ctx context.Context, namespace, name string, documents []Document) (Trial, error) {
	place := placeOf(namespace, name)
	mine := func(o Origin) bool { return o.Kind == ConfigMap && o.Place == place }
	all := slices.DeleteFunc(slices.Clone(s.documents), func(d Document) bool { return mine(d.Origin) })
	next, err := s.rules.Load(ctx, append(all, documents...), s)
	if err != nil {
		return Trial{}, err
	}
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
	slices.SortStableFunc(trial.Rejected, compareRejections)
	return trial, nil
}

// taken returns a rejection for each ref that one place owns in the next set and another place owns now: an
// older ConfigMap would take it by an edit, or by a label.
func (s *Set) taken(next *Set, mine func(Origin) bool) []Rejection {
	owners := make(map[Ref]Origin, len(s.owners))
	for _, sidecar := range s.Sidecars {
		owners[sidecar.Ref] = sidecar.Origin
	}
	maps.Copy(owners, s.owners)
	var taken []Rejection
	for ref, origin := range next.owners {
		owner, known := owners[ref]
		if !known || mine(owner) || !mine(origin) {
			continue
		}
		fault := field.Duplicate(field.NewPath("name"), ref.String())
		fault.Detail = fmt.Sprintf("defined by %s, which would lose it", owner)
		err := &Error{Origin: origin, Line: next.parsed[origin].nameLine, Err: fault}
		taken = append(taken, Rejection{Origin: origin, Errors: joined([]error{err})})
	}
	slices.SortFunc(taken, func(a, b Rejection) int { return strings.Compare(a.Errors.Error(), b.Errors.Error()) })
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
