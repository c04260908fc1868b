package watcher

import (
	"maps"
	"slices"
	"sync"
)

// trail remembers the directories that the last two readings came through. One would not be
// enough: until a reading is complete, what it will come through is known from the one
// before. What was not used for two readings is forgotten, such as the old targets of a
// ..data link. It is safe for concurrent use; the zero value is ready.
type trail struct {
	mu        sync.Mutex
	now, last map[string]bool
}

// turn begins a reading.
func (t *trail) turn() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last, t.now = t.now, make(map[string]bool)
}

// add notes a directory, and tells whether it was unknown.
func (t *trail) add(path string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now == nil {
		t.now = make(map[string]bool)
	}
	known := t.now[path] || t.last[path]
	t.now[path] = true
	return !known
}

// list gives the directories in no order.
func (t *trail) list() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := maps.Clone(t.last)
	if all == nil {
		all = make(map[string]bool)
	}
	maps.Copy(all, t.now)
	return slices.Collect(maps.Keys(all))
}
