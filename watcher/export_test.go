package watcher

// Cached returns the number of cached namespaces.
func (n *Namespaces) Cached() int {
	return n.cache.Len()
}

// MaxCached is the limit of Cached.
const MaxCached = maxCached
