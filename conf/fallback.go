package conf

import (
	"cmp"
	"slices"
)

// fallBack returns the rejections, by origin. It serves the last valid version of rejected documents, unless another
// document serves the ref. The oldest document comes first, so that the last valid version of the owner of a ref
// wins.
func (l *loader) fallBack() []Rejection {
	rejected := slices.DeleteFunc(slices.Clone(l.order), func(p *loaded) bool { return len(p.all) == 0 })
	slices.SortStableFunc(rejected, compareAge)
	done := make(map[Origin]bool)
	var rejections []Rejection
	for _, p := range rejected {
		rejection := Rejection{Origin: p.document.Origin, Ref: p.ref, Errors: joined(p.all)}
		for _, old := range l.lastGood(p, done) {
			l.keep(old)
			if owner := l.byRef[old.Ref]; l.stale[old.Ref] == nil && (owner == nil || !owner.isServed()) {
				l.stale[old.Ref] = stale(old, p.document)
				rejection.Stale = append(rejection.Stale, old.Ref)
			}
		}
		rejections = append(rejections, rejection)
	}
	slices.SortFunc(rejections, compareRejections)
	return rejections
}

// stale returns the last valid version of a sidecar whose document is rejected.
func stale(old *Sidecar, rejected *Document) *Sidecar {
	stale := *old
	stale.Stale, stale.Warnings = true, nil // they may have moved
	if rejected.Err == nil {
		stale.Origin = rejected.Origin // it may have moved in its file
	}
	return &stale
}

// lastGood returns the last valid version of a rejected document: the sidecar of its ref or, if its file had
// none with that ref, all that the file does not define any more. That may be too much, but a typo must not
// unload anything. The done map has the files for which the latter was returned.
func (l *loader) lastGood(p *loaded, done map[Origin]bool) []*Sidecar {
	if old := l.previous.good[entry{p.document.Origin.whole(), p.ref}]; old != nil {
		return []*Sidecar{old}
	}
	return l.missingOnce(p.document.Origin.whole(), done)
}

// missingOnce returns the sidecars that a file, key or whole ConfigMap had before, and that none of its documents
// defines now, as far as their names can be read. It adds the file to done, and returns nothing for a file in done.
func (l *loader) missingOnce(file Origin, done map[Origin]bool) []*Sidecar {
	if done[file] {
		return nil
	}
	done[file] = true
	if l.past.defined == nil {
		l.past = l.newPast()
	}
	var found []*Sidecar
	for _, old := range l.past.served[file.holder()] {
		at := old.entry()
		if (file.isConfigMap() || at.file == file) && !l.past.defined[at] {
			found = append(found, old)
		}
	}
	slices.SortFunc(found, func(a, b *Sidecar) int {
		return cmp.Or(a.Origin.whole().Compare(b.Origin.whole()), a.Ref.Compare(b.Ref))
	})
	return found
}

// keep records the last valid version of a ref in a file, even if another document serves the ref.
func (l *loader) keep(s *Sidecar) {
	if at := s.entry(); l.good[at] == nil {
		l.good[at] = s
	}
}

func (s *Sidecar) entry() entry {
	return entry{s.Origin.whole(), s.Ref}
}

// past compares the previous load with this one.
type past struct {
	served  map[Origin][]*Sidecar // the last valid versions of the previous load, by holder
	defined map[entry]bool        // the refs that documents define now
}

func (l *loader) newPast() past {
	p := past{make(map[Origin][]*Sidecar), make(map[entry]bool, len(l.order))}
	for at, old := range l.previous.good {
		p.served[at.file.holder()] = append(p.served[at.file.holder()], old)
	}
	for _, document := range l.order {
		p.defined[entry{document.document.Origin.whole(), document.ref}] = true
	}
	return p
}
