package store

import (
	"context"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s-sidecar-injector/conf"
)

// Snapshot is the set of all sidecars in service. It is immutable and safe for concurrent use.
type Snapshot struct {
	generation uint64
	set        *conf.Set
	byRef      map[conf.Ref]*conf.Sidecar
	stale      int

	publications []Publication
}

// empty is the snapshot before the first publication.
var empty = Snapshot{set: new(conf.Set)} //nolint:gochecknoglobals // never written to

// Generation returns the number of this publication in this process, from 1. It is 0 before the first.
func (s *Snapshot) Generation() uint64 { return s.generation }

// Digest returns the SHA-256 of the sidecars in lower-case hex. Replicas with the same sidecars have the same
// digest, whatever their generation. It is empty before the first publication.
func (s *Snapshot) Digest() string { return s.set.Digest }

// Sidecar returns the sidecar of this ref, or nil.
func (s *Snapshot) Sidecar(ref conf.Ref) *conf.Sidecar { return s.byRef[ref] }

// Sidecars yields all sidecars, sorted by ref.
func (s *Snapshot) Sidecars() iter.Seq[*conf.Sidecar] { return slices.Values(s.set.Sidecars) }

// Rejections yields the rejected documents, sorted by origin.
func (s *Snapshot) Rejections() iter.Seq[conf.Rejection] { return slices.Values(s.set.Rejections) }

// Listing returns a description of the sidecars and rejections. See conf.Set.Listing.
func (s *Snapshot) Listing() conf.Listing { return s.set.Listing() }

// Try loads the documents of the snapshot with those of one ConfigMap replaced. See conf.Set.Try.
func (s *Snapshot) Try(ctx context.Context, namespace, name string, documents []conf.Document) (conf.Trial, error) {
	return s.set.Try(ctx, namespace, name, documents)
}

// Len returns the number of sidecars.
func (s *Snapshot) Len() int { return len(s.set.Sidecars) }

// Stale returns the number of sidecars whose document was changed and rejected since.
func (s *Snapshot) Stale() int { return s.stale }

// Store holds the current snapshot. The zero Store holds an empty snapshot of generation 0. It is safe for
// concurrent use.
type Store struct {
	current atomic.Pointer[Snapshot]
	// publishing serializes writers. Readers never take it.
	publishing sync.Mutex
}

// Current returns the snapshot in service, never nil. It takes no lock and allocates nothing. A review calls it
// once, so that it uses one snapshot throughout.
func (s *Store) Current() *Snapshot {
	if snapshot := s.current.Load(); snapshot != nil {
		return snapshot
	}
	return &empty
}

// Publish makes a set the current snapshot. It returns the current generation, and reports whether it is new: a set
// that equals the current one keeps its generation, and only what Equal does not compare changes, such as rejected
// documents and lines of warnings. The first set is always published, even if it is empty. The set must not be changed
// afterwards.
func (s *Store) Publish(set *conf.Set) (generation uint64, published bool) {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	current := s.Current()
	published = !set.Equal(current.set)
	next := &Snapshot{
		generation: current.generation, set: set, byRef: make(map[conf.Ref]*conf.Sidecar, len(set.Sidecars)),
		publications: current.publications,
	}
	for _, sidecar := range set.Sidecars {
		next.byRef[sidecar.Ref] = sidecar
		if sidecar.Stale {
			next.stale++
		}
	}
	if published {
		next.generation++
		next.publish(current, time.Now())
	}
	s.current.Store(next)
	return next.generation, published
}
