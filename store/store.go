package store

import (
	"sync"
	"sync/atomic"

	"k8s-sidecar-injector/conf"
)

// Store holds the current snapshot. The zero Store is ready to use and holds an empty
// snapshot of generation 0. It is safe for concurrent use.
type Store struct {
	current atomic.Pointer[Snapshot]
	// publishing orders the writers; readers never take it.
	publishing sync.Mutex
}

// Current gives the snapshot that is served now, never nil. It takes no lock and allocates
// nothing. A review reads it once, so that it sees one state of the world throughout.
func (s *Store) Current() *Snapshot {
	if snapshot := s.current.Load(); snapshot != nil {
		return snapshot
	}
	return &empty
}

// Publish makes a set the current snapshot. It returns the generation that is current
// afterwards, and whether that is a new one: a set equal to the current one publishes
// nothing. The first set is always published, even an empty one, because it says that there
// is nothing to serve. The caller gives up the set, which nobody changes afterwards.
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
