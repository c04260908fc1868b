package conf

import (
	"maps"
	"slices"
)

// fallBack serves the last valid version of rejected documents, unless another document serves the ref. The
// oldest document comes first, so that the last valid version of the owner of a ref wins.
func (l *loader) fallBack() {
	slices.SortStableFunc(l.rejections, func(a, b Rejection) int {
		return compareAge(l.parsed[a.Origin].document, l.parsed[b.Origin].document)
	})
	done := make(map[Origin]bool)
	for i := range l.rejections {
		for _, old := range l.lastGood(l.rejections[i].Origin, done) {
			l.keep(old)
			if l.served[old.Ref] == nil {
				l.serveStale(&l.rejections[i], old)
			}
		}
	}
	slices.SortFunc(l.rejections, compareRejections)
}

func (l *loader) serveStale(rejection *Rejection, old *Sidecar) {
	stale := *old
	stale.Stale = true
	if l.parsed[rejection.Origin].document.Err == nil {
		stale.Origin = rejection.Origin // it may have moved in its file
	}
	l.served[old.Ref] = &stale
	rejection.Stale = append(rejection.Stale, old.Ref)
}

// lastGood returns the last valid version of a rejected document: the sidecar of its ref or, if its file had
// none with that ref, all that the file does not define any more. That may be too much, but a typo must not
// unload anything. The done map has the files for which the latter was returned.
func (l *loader) lastGood(rejected Origin, done map[Origin]bool) []*Sidecar {
	if old := l.previous.good[rejected.whole()][l.parsed[rejected].ref]; old != nil {
		return []*Sidecar{old}
	}
	return l.missingOnce(rejected, done)
}

// missingOnce returns the sidecars that a file or key had before, and that none of its documents defines now,
// as far as their names can be read. It adds the file to done, and returns nothing for a file in done.
func (l *loader) missingOnce(of Origin, done map[Origin]bool) []*Sidecar {
	if done[of.whole()] {
		return nil
	}
	done[of.whole()] = true
	var found []*Sidecar
	for _, file := range l.filesOf(of) {
		good := l.previous.good[file]
		for _, ref := range slices.SortedFunc(maps.Keys(good), Ref.Compare) {
			if !l.defined[entry{file, ref}] {
				found = append(found, good[ref])
			}
		}
	}
	return found
}

// filesOf returns the file of a document, or the keys that a ConfigMap had before it was rejected as a whole.
func (l *loader) filesOf(of Origin) []Origin {
	if !of.isConfigMap() {
		return []Origin{of.whole()}
	}
	return slices.SortedFunc(slices.Values(l.previousFiles[of.whole()]), Origin.Compare)
}

// keep records the last valid version of a ref in a file, even if another document serves the ref.
func (l *loader) keep(s *Sidecar) {
	file := s.Origin.whole()
	if l.good[file] == nil {
		l.good[file] = make(map[Ref]*Sidecar)
	}
	if l.good[file][s.Ref] == nil {
		l.good[file][s.Ref] = s
	}
}
