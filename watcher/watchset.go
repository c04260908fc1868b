package watcher

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/util/sets"
)

// watchSet is a set of directories to watch, by real path. For two names of one directory, the kernel has
// one watch, and fsnotify reports events by the first name only.
type watchSet struct {
	directories map[string]fs.FileInfo
	paths       sets.Set[string] // events about these paths matter, and about the entries of those that are directories
}

// newWatchSet returns the directories to watch: each of the given ones, for changes in it, and its nearest existing
// ancestor, for its creation and replacement.
func newWatchSet(directories sets.Set[string]) watchSet {
	set := watchSet{make(map[string]fs.FileInfo), sets.New[string]()}
	for directory := range directories {
		path, err := filepath.Abs(directory)
		if err != nil {
			continue // the working directory was removed
		}
		if target := set.add(path); target != "" {
			set.paths.Insert(target)
		}
		for parent := filepath.Dir(path); parent != path; path, parent = parent, filepath.Dir(parent) {
			if target := set.add(parent); target != "" {
				set.paths.Insert(filepath.Join(target, filepath.Base(path)))
				break
			}
		}
	}
	return set
}

// add adds a directory and returns its real path, or an empty string if it does not exist.
func (s watchSet) add(path string) string {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return ""
	}
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return ""
	}
	s.directories[path] = info
	return path
}

// equal reports whether both sets have the same directories at the same paths.
func (s watchSet) equal(other watchSet) bool {
	return maps.EqualFunc(s.directories, other.directories, os.SameFile) && s.paths.Equal(other.paths)
}

// matches reports whether an event about a path matters.
func (s watchSet) matches(path string) bool {
	path = filepath.Clean(path) // of an event in the root directory, fsnotify returns //name
	return s.directories[path] != nil || s.paths.Has(path) || s.paths.Has(filepath.Dir(path))
}
