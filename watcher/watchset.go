package watcher

import (
	"io/fs"
	"os"
	"path/filepath"
)

// watchSet is the set of directories to watch, by real path. For two names of one directory, the kernel
// has one watch, and fsnotify reports events by the first name only.
type watchSet map[string]*watch

// watch is a directory to watch.
type watch struct {
	info fs.FileInfo
	// all means that every event matters; otherwise only events of these names do.
	all   bool
	names map[string]bool
}

// newWatchSet returns the watches that show changes in the directories, their replacement and their
// creation: of each directory, and of its nearest ancestor that exists.
func newWatchSet(directories []string) watchSet {
	set := make(watchSet)
	for _, directory := range directories {
		path, err := filepath.Abs(directory)
		if err != nil {
			continue // the working directory was removed
		}
		if w := set.add(path); w != nil {
			w.all = true
		}
		set.addAncestor(path)
	}
	return set
}

func (s watchSet) addAncestor(path string) {
	for parent := filepath.Dir(path); parent != path; path, parent = parent, filepath.Dir(parent) {
		if w := s.add(parent); w != nil {
			w.names[filepath.Base(path)] = true
			return
		}
	}
}

// add returns the watch of a directory, nil if it does not exist.
func (s watchSet) add(path string) *watch {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return nil
	}
	if s[path] == nil {
		s[path] = &watch{info: info, names: make(map[string]bool)}
	}
	return s[path]
}

// matches reports whether an event about a path matters.
func (s watchSet) matches(path string) bool {
	if s[path] != nil {
		return true
	}
	parent := s[filepath.Dir(path)]
	return parent != nil && (parent.all || parent.names[filepath.Base(path)])
}
