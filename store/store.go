package store

import (
	"sync"
	"sync/atomic"

	"k8s-sidecar-injector/conf"
)

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

// Publish makes a set the current snapshot. It returns the current generation, and reports whether it is new: a
// set that equals the current one is not published. The first set is always published, even if it is empty. The
// set must not be changed afterwards.
func (s *Store) Publish(set *conf.Set) (generation uint64, published bool) {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	current := s.Current()
	if set.Equal(current.set) {
		return current.generation, false
	}
	next := newSnapshot(current.generation+1, set)
	s.current.Store(next)
	return next.generation, true
}
