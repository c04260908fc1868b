package watcher

// Cached returns the number of cached namespaces.
func (n *Namespaces) Cached() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.cache)
}

// MaxCached is the limit of Cached.
const MaxCached = maxCached
