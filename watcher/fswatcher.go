package watcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/rs/zerolog"
	"k8s.io/apimachinery/pkg/util/sets"
)

// defaultPoll catches changes that inotify misses: on network file systems, if no watch can be added, and if a
// symbolic link above the watched directories is replaced.
const defaultPoll = 30 * time.Second

// Watching configures how changes on disk are noticed. The zero value is right for production.
type Watching struct {
	// Poll is the interval at which everything is read again. Zero means defaultPoll.
	Poll time.Duration
	// NewWatcher opens a watcher. Nil means fsnotify.NewWatcher.
	NewWatcher func() (*fsnotify.Watcher, error)
}

// fsWatcher reports changes in directories, which need not exist. It watches directories, never files: the
// watch of a file is lost at the first rename.
type fsWatcher struct {
	watching Watching
	log      zerolog.Logger
	// directories returns the directories to watch.
	directories func() sets.Set[string]
	// wake has a token after an event, or when the directories to watch have changed.
	wake chan struct{}

	// Run owns the rest.
	watcher *fsnotify.Watcher // nil if none could be opened
	watches watchSet          // of the watcher
	lastErr error
}

// Run calls changed at once, after each event, and at each poll, until ctx ends; then it returns nil.
func (f *fsWatcher) Run(ctx context.Context, changed func()) error {
	poll := time.NewTicker(cmp.Or(f.watching.Poll, defaultPoll))
	defer poll.Stop()
	defer f.close()
	for {
		// Watch before reading: what changed before the watch is read now, and later changes have events.
		f.logChange(f.update())
		changed()
		select {
		case <-ctx.Done():
			return nil
		case <-f.wake:
		case <-poll.C:
		}
	}
}

// update replaces the watcher if it failed, or if a directory was added, removed or replaced. After an error, the
// next update tries again.
func (f *fsWatcher) update() error {
	watches := newWatchSet(f.directories())
	if f.isCurrent(watches) {
		return nil
	}
	f.close()
	newWatcher := f.watching.NewWatcher
	if newWatcher == nil {
		newWatcher = fsnotify.NewWatcher
	}
	watcher, err := newWatcher()
	if err != nil {
		return err
	}
	f.watcher, f.watches = watcher, watches
	go f.read(watcher, watches)
	// Parents first, so that the replacement of a child has an event.
	for _, path := range slices.Sorted(maps.Keys(watches.directories)) {
		if addErr := watcher.Add(path); addErr != nil && !errors.Is(addErr, os.ErrNotExist) {
			err = fmt.Errorf("watching %s: %w", path, addErr)
		}
	}
	// A directory that was created between the lookup and the watch of its parent has no event.
	if !watches.equal(newWatchSet(f.directories())) {
		notify(f.wake)
	}
	return err
}

// isCurrent reports whether the watcher watches these directories. WatchList lacks directories that were removed,
// and is empty if the watcher is closed.
func (f *fsWatcher) isCurrent(watches watchSet) bool {
	return f.watcher != nil && f.watches.equal(watches) && len(f.watcher.WatchList()) == len(watches.directories)
}

func (f *fsWatcher) close() {
	if f.watcher != nil {
		_ = f.watcher.Close()
	}
	f.watcher = nil
}

// read receives events until the watcher is closed. It has its own goroutine, and closes the watcher in another,
// because fsnotify sends errors while it holds the lock that Add and Close need. After an error, the watcher is
// closed and replaced: it may be broken or have lost events.
func (f *fsWatcher) read(watcher *fsnotify.Watcher, watches watchSet) {
	for {
		select {
		case event, ok := <-watcher.Events:
			if !ok || watches.matches(event.Name) {
				notify(f.wake)
			}
			if !ok {
				return
			}
		case err, ok := <-watcher.Errors:
			if !ok {
				notify(f.wake)
				return
			}
			f.log.Debug().Err(err).Msg("the file system watcher failed and is reopened")
			go func() {
				_ = watcher.Close()
				notify(f.wake)
			}()
		}
	}
}

// logChange logs the error of update if it differs from the last one.
func (f *fsWatcher) logChange(err error) {
	if fmt.Sprint(err) == fmt.Sprint(f.lastErr) {
		return
	}
	f.lastErr = err
	if err == nil {
		f.log.Info().Msg("file system events are watched again")
		return
	}
	f.log.Warn().Err(err).Strs("directories", sets.List(f.directories())).
		Msg("cannot watch file system events; changes are noticed by polling and on SIGHUP only; " +
			"if a limit is exhausted, raise the sysctl fs.inotify.max_user_instances or fs.inotify.max_user_watches")
}
