package watcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/rs/zerolog"
)

const (
	// defaultPoll catches changes that inotify misses: on network file systems, without a watch, and
	// where a symbolic link above the watched directories is replaced.
	defaultPoll = 30 * time.Second
	// maxRounds limits how often the watches are updated again because directories changed meanwhile.
	maxRounds = 8
)

// Watching configures how changes on disk are noticed. The zero value is right for production.
type Watching struct {
	// Poll is the interval at which everything is read again. Zero means 30 seconds.
	Poll time.Duration
	// NewWatcher opens a watcher. Nil means fsnotify.NewWatcher.
	NewWatcher func() (*fsnotify.Watcher, error)
}

// fsWatcher reports changes in directories. It watches directories, never files: the watch of a file is
// lost at the first rename. It reopens a broken watcher, and the directories need not exist.
type fsWatcher struct {
	watching Watching
	log      zerolog.Logger
	// directories returns the directories to watch.
	directories func() []string
	// wake has a token if the watches have to be updated.
	wake chan struct{}
	// watches are the current watches; the session reads them.
	watches atomic.Pointer[watchSet]

	// These belong to Run.
	session *session
	lastErr string
}

// session is an open fsnotify watcher and the goroutine that reads its events.
type session struct {
	watcher *fsnotify.Watcher
	failed  atomic.Bool
	closed  chan struct{}
	reader  sync.WaitGroup
}

func newFSWatcher(watching Watching, log zerolog.Logger, directories func() []string) *fsWatcher {
	watching.Poll = cmp.Or(watching.Poll, defaultPoll)
	if watching.NewWatcher == nil {
		watching.NewWatcher = fsnotify.NewWatcher
	}
	return &fsWatcher{watching: watching, log: log, directories: directories, wake: make(chan struct{}, 1)}
}

// Run calls changed at first, after each event, and at each poll, until ctx ends; then it returns nil.
func (f *fsWatcher) Run(ctx context.Context, changed func()) error {
	poll := time.NewTicker(f.watching.Poll)
	defer poll.Stop()
	defer f.close()
	for {
		// Watch before reading: a change before the watch is read, and a later one has an event.
		f.update()
		changed()
		select {
		case <-ctx.Done():
			return nil
		case <-f.wake:
		case <-poll.C:
		}
	}
}

// update opens a watcher if there is none, and adds and removes watches. Errors are retried at the next
// update.
func (f *fsWatcher) update() {
	err := f.open()
	// A directory that is created between the lookup and the watch of its parent has no event. If a round
	// adds no watch, there is no such directory.
	for range maxRounds {
		if err != nil {
			break
		}
		var added bool
		if added, err = f.updateOnce(); !added {
			break
		}
	}
	f.logChange(err)
}

// open opens a watcher if there is none or it failed.
func (f *fsWatcher) open() error {
	if f.session != nil && !f.session.failed.Load() {
		return nil
	}
	f.close()
	watcher, err := f.watching.NewWatcher()
	if err != nil {
		return err
	}
	s := &session{watcher: watcher, closed: make(chan struct{})}
	f.watches.Store(&watchSet{})
	f.session = s
	s.reader.Go(func() { f.read(s) })
	return nil
}

// close closes the watcher. Its reader runs until then: fsnotify sends errors while it holds the lock
// that Close and Add need.
func (f *fsWatcher) close() {
	if f.session == nil {
		return
	}
	f.session.failed.Store(true) // the reader does not report the end
	if err := f.session.watcher.Close(); err != nil {
		f.log.Debug().Err(err).Msg("cannot close the file system watcher")
	}
	close(f.session.closed)
	f.session.reader.Wait()
	f.session = nil
}

// updateOnce adds and removes watches. It reports whether it added one; the error is the last one of
// adding.
func (f *fsWatcher) updateOnce() (bool, error) {
	watcher := f.session.watcher
	wanted, before := newWatchSet(f.directories()), *f.watches.Load()
	f.watches.Store(&wanted) // before the first event of a new watch
	watched := make(map[string]bool)
	for _, path := range watcher.WatchList() {
		watched[path] = true
		if wanted[path] == nil {
			f.remove(path)
		}
	}
	var added bool
	var failure error
	// Parents first, so that a change of a child after the lookup has an event.
	for _, path := range slices.Sorted(maps.Keys(wanted)) {
		if old := before[path]; watched[path] && old != nil && os.SameFile(old.info, wanted[path].info) {
			continue
		}
		if watched[path] {
			f.remove(path)
		}
		err := watcher.Add(path)
		switch {
		case err == nil:
			added = true
		case !errors.Is(err, os.ErrNotExist):
			failure = fmt.Errorf("watching %s: %w", path, err)
		}
	}
	return added, failure
}

// remove removes a watch. The kernel has already removed that of a deleted directory.
func (f *fsWatcher) remove(path string) {
	if err := f.session.watcher.Remove(path); err != nil {
		f.log.Debug().Err(err).Str("directory", path).Msg("cannot remove a file system watch")
	}
}

// logChange logs a change of the error of update.
func (f *fsWatcher) logChange(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text == f.lastErr {
		return
	}
	f.lastErr = text
	if err == nil {
		f.log.Info().Msg("file system events are watched again")
		return
	}
	directories := f.directories()
	slices.Sort(directories)
	f.log.Warn().Err(err).Strs("directories", slices.Compact(directories)).
		Msg("cannot watch file system events; changes are noticed by polling and on SIGHUP only; " +
			"if a limit is exhausted, raise the sysctl fs.inotify.max_user_instances or fs.inotify.max_user_watches")
}

// read reads events. It never blocks on Run: the kernel's queue is finite, and fsnotify's Add waits until
// its errors are read.
func (f *fsWatcher) read(s *session) {
	for {
		select {
		case <-s.closed:
			return
		case event, ok := <-s.watcher.Events:
			if !ok {
				f.fail(s, fsnotify.ErrClosed)
				return
			}
			if f.watches.Load().matches(event.Name) {
				notify(f.wake)
			}
		case err, ok := <-s.watcher.Errors:
			switch {
			case !ok:
				f.fail(s, fsnotify.ErrClosed)
				return
			case errors.Is(err, fsnotify.ErrEventOverflow):
				f.log.Debug().Msg("the queue of file system events overflowed")
				notify(f.wake)
			default:
				f.fail(s, err)
			}
		}
	}
}

// fail makes Run open another watcher. fsnotify does not document which errors a watcher survives.
func (f *fsWatcher) fail(s *session, err error) {
	if s.failed.Swap(true) {
		return
	}
	f.log.Debug().Err(err).Msg("the file system watcher failed and is reopened")
	notify(f.wake)
}
