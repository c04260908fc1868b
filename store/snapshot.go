package store

import (
	"context"
	"iter"
	"slices"

	"k8s-sidecar-injector/conf"
)

// Snapshot is the set of all sidecars in service. It is immutable and safe for concurrent use.
type Snapshot struct {
	generation uint64
	set        *conf.Set // nil before the first publication
	byRef      map[conf.Ref]*conf.Sidecar
	stale      int
}

// empty is the snapshot before the first publication.
var empty Snapshot //nolint:gochecknoglobals // never written to

func newSnapshot(generation uint64, set *conf.Set) *Snapshot {
	s := &Snapshot{generation: generation, set: set, byRef: make(map[conf.Ref]*conf.Sidecar, len(set.Sidecars))}
	for _, sidecar := range set.Sidecars {
		s.byRef[sidecar.Ref] = sidecar
		if sidecar.Stale {
			s.stale++
		}
	}
	return s
}

// Generation returns the number of this publication in this process, from 1. It is 0 before the first.
func (s *Snapshot) Generation() uint64 {
	return s.generation
}

// Digest returns the SHA-256 of the sidecars in lower-case hex. Replicas with the same sidecars have the same
// digest, whatever their generation. It is empty before the first publication.
func (s *Snapshot) Digest() string {
	if s.set == nil {
		return ""
	}
	return s.set.Digest
}

// Sidecar returns the sidecar of this ref, or nil.
func (s *Snapshot) Sidecar(ref conf.Ref) *conf.Sidecar {
	return s.byRef[ref]
}

// Sidecars yields all sidecars, sorted by ref.
func (s *Snapshot) Sidecars() iter.Seq[*conf.Sidecar] {
	if s.set == nil {
		return func(func(*conf.Sidecar) bool) {}
	}
	return slices.Values(s.set.Sidecars)
}

// Rejections yields the rejected documents, sorted by origin.
func (s *Snapshot) Rejections() iter.Seq[conf.Rejection] {
	if s.set == nil {
		return func(func(conf.Rejection) bool) {}
	}
	return slices.Values(s.set.Rejections)
}

// Try loads the documents of the snapshot with those of one ConfigMap replaced. See conf.Set.Try.
func (s *Snapshot) Try(ctx context.Context, namespace, name string, documents []conf.Document) (conf.Trial, error) {
	set := s.set
	if set == nil {
		set = new(conf.Set)
	}
	return set.Try(ctx, namespace, name, documents)
}

// Len returns the number of sidecars.
func (s *Snapshot) Len() int {
	return len(s.byRef)
}

// Stale returns the number of sidecars whose document was changed and rejected since.
func (s *Snapshot) Stale() int {
	return s.stale
}
