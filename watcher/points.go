package watcher

import (
	"io/fs"
	"os"
	"path/filepath"
)

// points are the directories to watch, by their real path. Two names of one directory would
// get one watch from the kernel, and fsnotify would know it by the first name only.
type points map[string]*point

// point is a directory to watch.
type point struct {
	info fs.FileInfo
	// whole means that every event in it matters; otherwise only those about the entries
	// that lead on to a directory that matters.
	whole bool
	names map[string]bool
}

// survey finds what to watch so that a change in the directories, their replacement and
// their late appearance are seen: each one that exists, and of each the nearest ancestor that
// exists.
func survey(directories []string) points {
	found := make(points)
	for _, directory := range directories {
		path, err := filepath.Abs(directory)
		if err != nil {
			// The working directory is gone. Then there is nothing to find.
			continue
		}
		if p := found.at(path); p != nil {
			p.whole = true
		}
		found.addAncestor(path)
	}
	return found
}

func (p points) addAncestor(path string) {
	for parent := filepath.Dir(path); parent != path; path, parent = parent, filepath.Dir(parent) {
		if at := p.at(parent); at != nil {
			at.names[filepath.Base(path)] = true
			return
		}
	}
}

// at gives the point for a path, or nil when there is no such directory.
func (p points) at(path string) *point {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return nil
	}
	if p[path] == nil {
		p[path] = &point{info: info, names: make(map[string]bool)}
	}
	return p[path]
}

// concern tells whether an event about that path matters.
func (p points) concern(path string) bool {
	if p[path] != nil {
		return true
	}
	parent := p[filepath.Dir(path)]
	return parent != nil && (parent.whole || parent.names[filepath.Base(path)])
}
