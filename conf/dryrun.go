package conf

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Trial is the result of a dry run of a change of one ConfigMap.
type Trial struct {
	// Rejected are the documents of the ConfigMap that would be rejected, by origin, and those that would take
	// a ref from its owner.
	Rejected []Rejection
	// Still are the documents of the ConfigMap that are rejected already and would not change, by origin.
	Still []Rejection
	// Broken are other documents that would be rejected and are not rejected now, by origin.
	Broken []Rejection
	// Warnings are about valid definitions of the ConfigMap, by ref.
	Warnings []*Error
}

// Try is a dry run of Load with the documents of one ConfigMap replaced. No documents means that the ConfigMap
// is deleted. The documents of a new ConfigMap have no creation time. The set is not changed and must not be
// nil. The error is that of Rules.Load.
func (s *Set) Try(ctx context.Context, namespace, name string, documents []Document) (Trial, error) {
	changed := func(o Origin) bool { return o.Kind == ConfigMap && o.Root == namespace+"/"+name }
	all := slices.DeleteFunc(slices.Clone(s.documents), func(d Document) bool { return changed(d.Origin) })
	next, err := s.rules.Load(ctx, append(all, documents...), s)
	if err != nil {
		return Trial{}, err
	}
	trial := Trial{Rejected: s.takenRefs(next, changed)}
	rejected := make(map[Origin]bool, len(s.Rejections))
	for _, rejection := range s.Rejections {
		rejected[rejection.Origin] = true
	}
	for _, rejection := range next.Rejections {
		at := rejection.Origin
		switch {
		case changed(at) && rejected[at] && next.find(at).sameContent(s.find(at)):
			trial.Still = append(trial.Still, rejection)
		case changed(at):
			trial.Rejected = append(trial.Rejected, rejection)
		case !rejected[at]:
			trial.Broken = append(trial.Broken, rejection)
		}
	}
	slices.SortStableFunc(trial.Rejected, compareRejections)
	for _, sidecar := range next.Sidecars {
		if changed(sidecar.Origin) {
			trial.Warnings = append(trial.Warnings, sidecar.Warnings...)
		}
	}
	return trial, nil
}

// takenRefs returns a rejection for each ref that the changed ConfigMap would take from its current owner. An
// older ConfigMap can take a ref by an edit, or by getting a label.
func (s *Set) takenRefs(next *Set, changed func(Origin) bool) []Rejection {
	owners := make(map[Ref]Origin, len(s.owners))
	for _, sidecar := range s.Sidecars {
		owners[sidecar.Ref] = sidecar.Origin
	}
	for ref, owner := range s.owners {
		owners[ref] = owner.document.Origin
	}
	var taken []Rejection
	for ref, taker := range next.owners {
		origin := taker.document.Origin
		owner, owned := owners[ref]
		if !owned || changed(owner) || !changed(origin) {
			continue
		}
		fault := field.Duplicate(field.NewPath("name"), ref.String())
		fault.Detail = fmt.Sprintf("defined by %s, which would lose it", owner)
		err := &Error{Origin: origin, Line: taker.nameLine, Err: fault}
		taken = append(taken, Rejection{Origin: origin, Ref: ref, Errors: joined([]*Error{err})})
	}
	slices.SortFunc(taken, func(a, b Rejection) int { return strings.Compare(a.Errors.Error(), b.Errors.Error()) })
	return taken
}
