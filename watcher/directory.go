package watcher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/rs/zerolog"
	"k8s.io/apimachinery/pkg/util/sets"

	"k8s-sidecar-injector/conf"
)

// Directory is the config directory as a source. Its regular files `*.yaml` and `*.yml` are served, except dot
// files. Dot files, and files in subdirectories, are base-only documents. Run is called once.
type Directory struct {
	// Watching may be set before Run.
	Watching Watching

	path        string
	log         zerolog.Logger
	wake        chan struct{}
	truncated   bool                             // whether the last read exceeded a limit
	count       int                              // of the documents of the last read
	directories atomic.Pointer[sets.Set[string]] // to watch: those of the last complete read
}

const (
	// maxAdded is for how many more documents than before a read has room.
	maxAdded = 32
	// maxReads limits how often the files are read because they were replaced meanwhile.
	maxReads = 5
)

// NewDirectory returns a source of the directory at a path, which need not exist yet.
func NewDirectory(path string, log zerolog.Logger) *Directory {
	d := &Directory{path: filepath.Clean(path), log: log, wake: make(chan struct{}, 1)}
	d.directories.Store(new(sets.New(d.path)))
	return d
}

// String returns `directory conf`.
func (d *Directory) String() string { return "directory " + d.path }

// Documents reads the directory and all its subdirectories. It does not need Run. Origins have the path of the
// directory as given, cleaned. A file that cannot be read is a document with an error. A file that is removed
// meanwhile is ignored. It is an error if the directory itself cannot be read. Each file is read, because neither
// its size nor its times show every change, but the documents of files with the same content are those of loaded.
// Files that are replaced together have a single version: if a mounted ConfigMap or Secret, a directory, or a link to
// one is replaced meanwhile, everything is read again. It is an error if that happens in each of a few reads.
func (d *Directory) Documents(ctx context.Context, loaded *conf.Set) (documents []conf.Document, err error) {
	for range maxReads {
		if documents, err = d.read(ctx, loaded); !errors.Is(err, errReplaced) {
			return documents, err
		}
	}
	return nil, fmt.Errorf("reading the config directory %s: %w", d.path, err)
}

func (d *Directory) read(ctx context.Context, loaded *conf.Set) ([]conf.Document, error) {
	root, err := os.OpenRoot(d.path + "/") // the slash keeps it from blocking if the path is a FIFO
	if err != nil {
		return nil, fmt.Errorf("opening the config directory: %w", err)
	}
	defer root.Close()
	r := treeReader{
		root: root, path: d.path, loaded: loaded, directories: sets.New[string](),
		documents: make([]conf.Document, 0, d.count+maxAdded),
	}
	if err := r.readAll(ctx); err != nil {
		return nil, err
	}
	// A new directory is read again once it is watched.
	if !d.directories.Swap(&r.directories).IsSuperset(r.directories) {
		notify(d.wake)
	}
	if r.truncated && !d.truncated {
		d.log.Warn().Str("directory", d.path).Int("max_directories", maxDirectories).Int("max_depth", maxTreeDepth).
			Int("max_files", maxBases).Int("max_bytes", maxBaseBytes).
			Msg("config directory exceeds a limit; the remaining files in subdirectories are ignored")
	}
	d.truncated, d.count = r.truncated, len(r.documents)
	return r.documents, nil
}

// Run calls changed at first, at each event in the directory or a subdirectory, when the directory is created or
// replaced, and at each poll.
func (d *Directory) Run(ctx context.Context, changed func()) error {
	watched := func() sets.Set[string] { return *d.directories.Load() }
	f := fsWatcher{watching: d.Watching, log: d.log, directories: watched, wake: d.wake}
	return f.Run(ctx, changed)
}
