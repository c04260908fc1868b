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
			if l.served[old.Ref] == nil {
				l.served[old.Ref] = stale(old, p.document)
				rejection.Stale = append(rejection.Stale, old.Ref)
			}
		}
		rejections = append(rejections, rejection)
	}
	slices.SortFunc(rejections, compareRejections)
	return rejections
}

// stale returns the last valid version of a sidecar whose document is rejected.
func stale(old *Sidecar, rejected Document) *Sidecar {
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
	var found []*Sidecar
	for _, old := range l.before[file.holder()] {
		at := old.entry()
		if (file.isConfigMap() || at.file == file) && !l.defined[at] {
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
