package watcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/rs/zerolog"

	"k8s-sidecar-injector/conf"
)

var (
	errEscapes  = errors.New("is a symbolic link that leaves the config directory: only relative links that stay inside are followed")
	errDangling = errors.New("is a symbolic link to nothing: mend or remove it")
)

// Directory is the config directory as a source. Its documents are the regular files
// `*.yaml` and `*.yml`, read flat, without dot files. Make it with NewDirectory. Run is called
// once, Documents by one goroutine at a time; that may be another than the one of Run.
type Directory struct {
	// Watching may be set before Run.
	Watching Watching

	path  string
	log   zerolog.Logger
	wake  chan struct{}
	trail trail

	// root is the directory of the latest good reading, whatever has its name now.
	root *os.Root
}

// NewDirectory makes a source of the directory at a path, which need not exist yet. It reads
// nothing before it is asked.
func NewDirectory(path string, log zerolog.Logger) *Directory {
	return &Directory{path: filepath.Clean(path), log: log, wake: make(chan struct{}, 1)}
}

// String gives `directory conf`.
func (d *Directory) String() string {
	return "directory " + d.path
}

// Documents reads the directory; it does not need Run. The origins have the path as it was
// given, cleaned and with slashes. A directory without documents is no error, one that
// cannot be listed is. A file that cannot be read is a document that says why; one that goes
// away meanwhile is passed over, and so is a subdirectory. Where a document inherits by path,
// the file is read when conf.Load asks for it, once, so that loading the same documents again
// sees the same bytes. The directory is held open for that until the next good reading, after
// which earlier documents can be inherited from no further files.
func (d *Directory) Documents(ctx context.Context) ([]conf.Document, error) {
	root, err := d.open()
	if err != nil {
		return nil, fmt.Errorf("opening the config directory: %w", err)
	}
	documents, err := d.readAll(ctx, root)
	if err != nil {
		root.Close() //nolint:gosec // nothing was written
		return nil, err
	}
	d.hold(root)
	return documents, nil
}

func (d *Directory) readAll(ctx context.Context, root *os.Root) ([]conf.Document, error) {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, fmt.Errorf("listing the config directory %s: %w", d.path, err)
	}
	d.trail.turn()
	files := newTree(root, d.remember)
	var documents []conf.Document
	for _, entry := range entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if isSidecarFile(entry.Name()) {
			documents = append(documents, d.read(root, entry, files)...)
		}
	}
	return documents, nil
}

// hold keeps a directory open in place of the one before.
func (d *Directory) hold(root *os.Root) {
	if d.root != nil {
		d.root.Close() //nolint:gosec // nothing was written
	}
	d.root = root
}

// open gives the directory. The system would wait for the writer of a FIFO by that name.
func (d *Directory) open() (*os.Root, error) {
	info, err := os.Stat(d.path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: d.path, Err: syscall.ENOTDIR}
	}
	return os.OpenRoot(d.path)
}

// Run calls changed at each event in the directory and in the subdirectories that were read
// from, when the directory appears or is replaced, and at each poll.
func (d *Directory) Run(ctx context.Context, changed func()) error {
	n := newFSWatcher(d.Watching, d.log, d.watched)
	n.wake = d.wake
	return n.Run(ctx, changed)
}

// watched gives the directories in which a change matters.
func (d *Directory) watched() []string {
	return append(d.trail.list(), d.path)
}

// read gives the documents of one entry of the directory.
func (d *Directory) read(root *os.Root, entry fs.DirEntry, files fs.FS) []conf.Document {
	name := entry.Name()
	origin := conf.Origin{Kind: conf.File, Place: filepath.ToSlash(d.path), Name: name}
	if entry.Type()&fs.ModeSymlink != 0 {
		d.remember(name)
	}
	content, err := readInside(root, name)
	switch {
	case err == nil:
		return conf.Split(origin, content, files)
	case errors.Is(err, errDirectory), vanished(root, name, err):
		return nil
	}
	return []conf.Document{conf.Unreadable(origin, err)}
}

// remember has the directories watched from which a file is read: where it is, and where it
// is after symbolic links.
func (d *Directory) remember(name string) {
	path := filepath.Join(d.path, filepath.FromSlash(name))
	fresh := d.trail.add(filepath.Dir(path))
	if target, err := filepath.EvalSymlinks(path); err == nil {
		fresh = d.trail.add(filepath.Dir(target)) || fresh
	}
	if fresh {
		notify(d.wake)
	}
}

func isSidecarFile(name string) bool {
	if strings.HasPrefix(name, ".") {
		return false
	}
	return strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")
}

// readInside reads a file below a root, with errors that an operator can act on.
func readInside(root *os.Root, name string) ([]byte, error) {
	content, err := readRegular(root, name)
	pathError, ok := errors.AsType[*fs.PathError](err)
	if !ok {
		return content, err
	}
	if _, ok := errors.AsType[syscall.Errno](err); !ok && !errors.Is(err, os.ErrClosed) {
		// What the kernel did not refuse, os.Root did, and it exports no error for that.
		return nil, errEscapes
	}
	if info, _ := root.Lstat(name); errors.Is(err, fs.ErrNotExist) && info != nil && info.Mode()&fs.ModeSymlink != 0 {
		return nil, errDangling
	}
	// Whoever reports it names the file.
	return nil, pathError.Err
}

// vanished tells that the error is only that the file was removed after it was listed.
func vanished(root *os.Root, name string, err error) bool {
	if !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	_, err = root.Lstat(name)
	return errors.Is(err, fs.ErrNotExist)
}
