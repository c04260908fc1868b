package watcher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"k8s.io/apimachinery/pkg/util/sets"

	"k8s-sidecar-injector/conf"
)

// The limits of reading subdirectories and dot files. The files that are served are always read.
const (
	maxTreeDepth   = 20
	maxDirectories = 1000
	maxBases       = 10_000
	maxBaseBytes   = 16 << 20
)

// errReplaced is the error of a read that may have files of two versions, or not all files.
var errReplaced = errors.New("files were replaced while they were read")

// treeReader reads the files below a root once, breadth first and sorted by name, so that all replicas with the
// same files read the same ones if a limit is exceeded.
type treeReader struct {
	root *os.Root
	path string // of the root, as configured
	// loaded has the documents of files that have not changed. It may be nil.
	loaded *conf.Set
	buffer bytes.Buffer // the current file

	documents   []conf.Document
	directories sets.Set[string] // to watch
	truncated   bool             // a limit was exceeded

	queue            []directory
	followed         []followed
	bases, baseBytes int
}

// followed is a directory or symbolic link through which files were read.
type followed struct {
	name string
	link bool
	info fs.FileInfo // of the target; nil if there was none
}

// directory is a directory to read. Its name is relative to the root.
type directory struct {
	name      string
	ancestors []fs.FileInfo // and the directory itself
}

// readAll reads all files. It returns an error if the root itself cannot be listed, if ctx ends, or if files were
// replaced meanwhile.
func (r *treeReader) readAll(ctx context.Context) error {
	info, err := r.root.Stat(".")
	if err != nil {
		return fmt.Errorf("reading the config directory %s: %w", r.path, err)
	}
	r.queue = []directory{{".", []fs.FileInfo{info}}}
	for at := 0; at < len(r.queue); at++ {
		d := r.queue[at]
		entries, err := r.list(d.name)
		switch {
		case err == nil:
			r.directories.Insert(filepath.Join(r.path, d.name))
		case errors.Is(err, errReplaced):
			return err
		case at == 0:
			return fmt.Errorf("listing the config directory %s: %w", r.path, err)
		default:
			r.reject(d.name, err)
		}
		for _, entry := range entries {
			if err := ctx.Err(); err != nil {
				return err
			}
			r.read(d, entry)
		}
	}
	if r.replaced(info) {
		return errReplaced
	}
	return nil
}

// list returns the entries of a directory that may matter, sorted by name. It lists them until two lists are the same,
// because some file systems, such as tmpfs, omit or repeat a file if another one is renamed over it meanwhile.
func (r *treeReader) list(name string) ([]fs.DirEntry, error) {
	same := func(a, b fs.DirEntry) bool { return a.Name() == b.Name() && a.Type() == b.Type() }
	previous, err := r.listOnce(name)
	for range maxReads {
		if err != nil {
			return nil, err
		}
		var entries []fs.DirEntry
		if entries, err = r.listOnce(name); slices.EqualFunc(entries, previous, same) {
			return entries, err
		}
		previous = entries
	}
	return nil, errReplaced
}

// listOnce lists a directory by its path, because through an os.Root that takes eight times as long. What is read
// then is inside the root all the same, and replaced notices another directory.
func (r *treeReader) listOnce(name string) ([]fs.DirEntry, error) {
	entries, err := os.ReadDir(filepath.Join(r.path, name))
	return slices.DeleteFunc(entries, func(entry fs.DirEntry) bool {
		return entry.Type().IsRegular() && !isDefinition(entry.Name())
	}), err
}

// replaced reports whether the root, whose info at first is given, or a directory or link that was followed, is
// another one now. That includes ..data, the link that the kubelet replaces to update all files of a volume.
func (r *treeReader) replaced(root fs.FileInfo) bool {
	if info, err := os.Stat(r.path); err != nil || !os.SameFile(root, info) {
		return true
	}
	return slices.ContainsFunc(r.followed, func(f followed) bool {
		info, err := r.root.Stat(f.name)
		if err != nil || f.info == nil {
			return err == nil || f.info != nil
		}
		// The inode of a removed file may be used again.
		return !os.SameFile(f.info, info) || f.link && !f.info.ModTime().Equal(info.ModTime())
	})
}

// read reads a file, or enqueues a directory. Other entries, and dot directories, are ignored.
func (r *treeReader) read(parent directory, entry fs.DirEntry) {
	name := path.Join(parent.name, entry.Name())
	linked := entry.Type()&fs.ModeSymlink != 0
	if entry.IsDir() || linked {
		info, err := r.root.Stat(name)
		if entry.IsDir() || isDefinition(name) || err == nil && info.IsDir() {
			r.followed = append(r.followed, followed{name, linked, info})
		}
		switch {
		case err == nil && info.IsDir():
			r.enqueue(parent, name, info)
			return
		case err != nil && !isDefinition(name) && !isHidden(name):
			r.reject(name, err)
			return
		}
	}
	if !isDefinition(name) {
		return
	}
	if linked { // the file may be edited through its real path
		if target, err := filepath.EvalSymlinks(filepath.Join(r.path, name)); err == nil {
			r.directories.Insert(filepath.Dir(target))
		}
	}
	r.readFile(name)
}

// enqueue adds a subdirectory, unless it is hidden or a symbolic link to one of its ancestors.
func (r *treeReader) enqueue(parent directory, name string, info fs.FileInfo) {
	isAncestor := func(ancestor fs.FileInfo) bool { return os.SameFile(ancestor, info) }
	switch {
	case isHidden(name), slices.ContainsFunc(parent.ancestors, isAncestor):
	case len(parent.ancestors) > maxTreeDepth, len(r.queue) > maxDirectories:
		r.truncated = true
	default:
		r.queue = append(r.queue, directory{name, append(slices.Clip(parent.ancestors), info)})
	}
}

func (r *treeReader) readFile(name string) {
	base := !isServed(name)
	if base && (r.bases == maxBases || r.baseBytes > maxBaseBytes) {
		r.truncated = true
		return
	}
	file, err := r.root.OpenFile(name, openFlags, 0)
	if err = readInto(&r.buffer, file, err); err != nil {
		r.reject(name, err)
		return
	}
	content := r.buffer.Bytes()
	if base {
		r.bases++
		r.baseBytes += len(content)
	}
	r.add(r.loaded.Split(r.origin(name), content)...)
}

// reject adds a document with the error, unless the file was removed after it was listed.
func (r *treeReader) reject(name string, err error) {
	pathError, ok := errors.AsType[*fs.PathError](err)
	_, system := errors.AsType[syscall.Errno](err)
	_, lstatErr := r.root.Lstat(name)
	switch {
	case errors.Is(lstatErr, fs.ErrNotExist):
		return
	case errors.Is(err, fs.ErrNotExist):
		err = errors.New("is a dangling symbolic link")
	case ok && system:
		err = pathError.Err
	case ok: // os.Root exports no error for a link that leaves it
		err = errors.New("is a symbolic link that leaves the config directory: " +
			"only relative links that stay inside are followed")
	}
	r.add(conf.Unreadable(r.origin(name), err))
}

func (r *treeReader) add(documents ...conf.Document) {
	for _, document := range documents {
		document.BaseOnly = !isServed(document.Origin.Name)
		r.documents = append(r.documents, document)
	}
}

func (r *treeReader) origin(name string) conf.Origin {
	return conf.Origin{Kind: conf.File, Root: r.path, Name: name}
}

func isDefinition(name string) bool {
	return strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")
}

func isHidden(name string) bool { return strings.HasPrefix(path.Base(name), ".") }

// isServed reports whether the file is a definition to serve. All others are base-only.
func isServed(name string) bool {
	return isDefinition(name) && !isHidden(name) && !strings.Contains(name, "/")
}
