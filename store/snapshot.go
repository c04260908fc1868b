package store

import (
	"context"
	"iter"
	"slices"

	"k8s-sidecar-injector/conf"
)

// Snapshot is the set of all sidecars served at one moment. It is immutable and safe for
// concurrent use.
type Snapshot struct {
	generation uint64
	set        *conf.Set // nil before the first publication
	byRef      map[conf.Ref]*conf.Sidecar
	stale      int
}

// empty is what a store holds before the first publication.
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

// Generation counts the publications of this process, from 1; it is 0 before the first.
func (s *Snapshot) Generation() uint64 {
	return s.generation
}

// Digest is the SHA-256 of the content in lower-case hex: replicas that serve the same
// sidecars have the same, whatever their generation. It is empty before the first
// publication.
func (s *Snapshot) Digest() string {
	if s.set == nil {
		return ""
	}
	return s.set.Digest
}

// Sidecar finds a sidecar; nil means that the snapshot has none of that ref.
func (s *Snapshot) Sidecar(ref conf.Ref) *conf.Sidecar {
	return s.byRef[ref]
}

// Sidecars yields all sidecars by ref.
func (s *Snapshot) Sidecars() iter.Seq[*conf.Sidecar] {
	if s.set == nil {
		return func(func(*conf.Sidecar) bool) {}
	}
	return slices.Values(s.set.Sidecars)
}

// Rejections yields the documents that could not be served, by origin.
func (s *Snapshot) Rejections() iter.Seq[conf.Rejection] {
	if s.set == nil {
		return func(func(conf.Rejection) bool) {}
	}
	return slices.Values(s.set.Rejections)
}

// Try loads the documents that a ConfigMap would hold, in the place of those that it holds. See conf.Set.Try.
func (s *Snapshot) Try(ctx context.Context, namespace, name string, documents []conf.Document) (conf.Trial, error) {
	set := s.set
	if set == nil {
		set = new(conf.Set)
	}
	return set.Try(ctx, namespace, name, documents)
}

// Len is the number of sidecars.
func (s *Snapshot) Len() int {
	return len(s.byRef)
}

// Stale is the number of sidecars that are served although their origin holds something
// else now, which was rejected.
func (s *Snapshot) Stale() int {
	return s.stale
}
