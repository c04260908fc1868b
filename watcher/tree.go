package watcher

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"sync"
	"time"
)

// tree is where conf.Load finds the files that documents of one reading inherit from. Every
// file is read once, when it is first asked for: what was read stays as it was for the next
// load of the same documents, be the directory there or not. It is safe for concurrent use.
type tree struct {
	root *os.Root
	// asked is told each name that is asked for, before it is read.
	asked func(name string)

	mu   sync.Mutex
	seen map[string]reading
}

var _ fs.ReadFileFS = (*tree)(nil)

type reading struct {
	content []byte
	err     error
}

func newTree(root *os.Root, asked func(name string)) *tree {
	return &tree{root: root, asked: asked, seen: make(map[string]reading)}
}

// ReadFile implements fs.ReadFileFS.
func (t *tree) ReadFile(name string) ([]byte, error) {
	content, err := t.read(name)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return bytes.Clone(content), nil
}

// Open implements fs.FS, for files only.
func (t *tree) Open(name string) (fs.File, error) {
	content, err := t.read(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &memoryFile{Reader: bytes.NewReader(content), name: name}, nil
}

func (t *tree) read(name string) ([]byte, error) {
	if !fs.ValidPath(name) {
		return nil, fs.ErrInvalid
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	// Also when it was read before, or is not there: its place must stay watched.
	t.asked(name)
	found, ok := t.seen[name]
	if !ok {
		found.content, found.err = readInside(t.root, name)
		t.seen[name] = found
	}
	return found.content, found.err
}

// memoryFile is a file that was read already, and its own fs.FileInfo.
type memoryFile struct {
	*bytes.Reader
	name string
}

func (f *memoryFile) Stat() (fs.FileInfo, error) { return f, nil }
func (f *memoryFile) Close() error               { return nil }
func (f *memoryFile) Name() string               { return path.Base(f.name) }
func (f *memoryFile) Mode() fs.FileMode          { return 0o444 }
func (f *memoryFile) ModTime() time.Time         { return time.Time{} }
func (f *memoryFile) IsDir() bool                { return false }
func (f *memoryFile) Sys() any                   { return nil }
