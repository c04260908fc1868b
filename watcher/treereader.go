package watcher

import (
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

// These limits bound the reading of subdirectories and dot files. The files that are served are always read.
const (
	maxTreeDepth   = 20
	maxDirectories = 1000
	maxBases       = 10_000
	maxBaseBytes   = 16 << 20
)

var (
	errEscapes = errors.New("is a symbolic link that leaves the config directory: " +
		"only relative links that stay inside are followed")
	errDangling = errors.New("is a dangling symbolic link")
)

// treeReader reads the files below a root once, breadth first and in the order of their names, so that all
// replicas with the same files read the same ones.
type treeReader struct {
	root *os.Root
	path string // of the root, as given

	documents   []conf.Document
	directories sets.Set[string] // to watch
	truncated   bool             // a limit was exceeded

	queue            []directory
	bases, baseBytes int
}

// directory is a directory to read. Its name is relative to the root.
type directory struct {
	name      string
	ancestors []fs.FileInfo // and the directory itself
}

// readAll reads all files. It fails if the root itself cannot be listed, or if ctx ends.
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
			r.directories.Insert(filepath.Join(r.path, filepath.FromSlash(d.name)))
		case at == 0:
			return fmt.Errorf("listing the config directory %s: %w", r.path, err)
		default:
			r.add(conf.Unreadable(r.origin(d.name), err))
		}
		for _, entry := range entries {
			if err := ctx.Err(); err != nil {
				return err
			}
			r.read(d, entry)
		}
	}
	return nil
}

// list returns the entries of a directory by name. It does not block on a FIFO.
func (r *treeReader) list(name string) ([]fs.DirEntry, error) {
	f, err := r.root.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, plainError(r.root, name, err)
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

// read reads a file, or enqueues a directory. Other entries, and dot directories, are ignored.
func (r *treeReader) read(parent directory, entry fs.DirEntry) {
	name := path.Join(parent.name, entry.Name())
	linked := entry.Type()&fs.ModeSymlink != 0
	if entry.IsDir() || linked {
		info, err := r.root.Stat(name)
		switch {
		case err == nil && info.IsDir():
			r.enqueue(parent, name, info)
			return
		case err != nil && !isDefinition(name) && !isHidden(name):
			r.add(conf.Unreadable(r.origin(name), plainError(r.root, name, err)))
			return
		}
	}
	if !isDefinition(name) {
		return
	}
	if linked {
		r.watchTarget(name)
	}
	r.readFile(name)
}

// enqueue adds a subdirectory, unless a symbolic link makes it one of its own ancestors.
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
	content, err := readInside(r.root, name)
	switch {
	case errors.Is(err, errDirectory), vanished(r.root, name, err):
		return
	case err != nil:
		r.add(conf.Unreadable(r.origin(name), err))
		return
	case base:
		r.bases++
		r.baseBytes += len(content)
	}
	r.add(conf.Split(r.origin(name), content)...)
}

func (r *treeReader) add(documents ...conf.Document) {
	for _, document := range documents {
		document.BaseOnly = !isServed(document.Origin.Name)
		r.documents = append(r.documents, document)
	}
}

func (r *treeReader) origin(name string) conf.Origin {
	return conf.Origin{Kind: conf.File, Root: filepath.ToSlash(r.path), Name: name}
}

// watchTarget watches the directory that a symbolic link leads to, since the file may be edited there.
func (r *treeReader) watchTarget(name string) {
	if target, err := filepath.EvalSymlinks(filepath.Join(r.path, filepath.FromSlash(name))); err == nil {
		r.directories.Insert(filepath.Dir(target))
	}
}

func isDefinition(name string) bool {
	return strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")
}

func isHidden(name string) bool {
	return strings.HasPrefix(path.Base(name), ".")
}

// isServed reports whether the file is a definition to serve. Others are only bases.
func isServed(name string) bool {
	return isDefinition(name) && !isHidden(name) && !strings.Contains(name, "/")
}

// readInside reads a file below a root.
func readInside(root *os.Root, name string) ([]byte, error) {
	content, err := readRegular(root, name)
	return content, plainError(root, name, err)
}

// plainError returns the cause of an error of os.Root, without the name of the file.
func plainError(root *os.Root, name string, err error) error {
	pathError, ok := errors.AsType[*fs.PathError](err)
	if !ok {
		return err
	}
	if _, ok := errors.AsType[syscall.Errno](err); !ok && !errors.Is(err, os.ErrClosed) {
		return errEscapes // os.Root exports no error for this
	}
	if info, _ := root.Lstat(name); errors.Is(err, fs.ErrNotExist) && info != nil && info.Mode()&fs.ModeSymlink != 0 {
		return errDangling
	}
	return pathError.Err
}

// vanished reports whether the error is that the file was removed after it was listed.
func vanished(root *os.Root, name string, err error) bool {
	if !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	_, err = root.Lstat(name)
	return errors.Is(err, fs.ErrNotExist)
}
