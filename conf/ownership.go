package conf

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// claim assigns each ref to the oldest document that defines it, valid or not: a typo must not transfer a ref
// to another owner. A document that could not be decoded claims the names that a scan found in it. If its file
// had none of these names before, it may define any ref of the file, so it claims them all.
func (l *loader) claim(list []*loaded) {
	done := make(map[Origin]bool)
	for _, p := range slices.SortedStableFunc(slices.Values(list), compareAge) {
		if p.ref == (Ref{}) {
			l.claimUncertain(p, done)
			continue
		}
		if owner := l.claimRef(p, p.ref); owner != p {
			fault := field.Duplicate(field.NewPath("name"), p.ref.String())
			fault.Detail = fmt.Sprintf("defined first by %s", owner.document.Origin)
			p.fail(p.nameLine, fault)
		}
	}
}

// claimUncertain claims what a document without a readable name may define. The done map has the files whose
// earlier refs are claimed.
func (l *loader) claimUncertain(p *loaded, done map[Origin]bool) {
	file, known := p.document.Origin.whole(), false
	for _, ref := range p.names {
		l.claimRef(p, ref)
		known = known || l.previous.good[entry{file, ref}] != nil
	}
	if known && p.document.Err == nil {
		return
	}
	for _, old := range l.missingOnce(file, done) {
		l.claimRef(p, old.Ref)
	}
}

// claimRef assigns the ref to the document unless it has an owner, and returns the owner.
func (l *loader) claimRef(p *loaded, ref Ref) *loaded {
	if l.byRef[ref] == nil {
		l.byRef[ref] = p
	}
	return l.byRef[ref]
}

// compareAge orders documents by their right to a ref: files before ConfigMaps, an older ConfigMap before a
// younger one, then by origin. It depends on nothing but the documents, so that all replicas agree. A
// creationTimestamp has whole seconds. Of two ConfigMaps that were created in the same second, the one whose
// name sorts first counts as the older one.
func compareAge(a, b *loaded) int {
	return cmp.Or(
		cmp.Compare(a.document.Origin.Kind, b.document.Origin.Kind),
		compareCreated(a.document.Created, b.document.Created),
		a.document.Origin.Compare(b.document.Origin),
	)
}

// compareCreated orders creation times. The zero time, of an object that does not exist yet, comes last.
func compareCreated(a, b time.Time) int {
	switch {
	case a.IsZero() == b.IsZero():
		return a.Compare(b)
	case a.IsZero():
		return 1
	default:
		return -1
	}
}
