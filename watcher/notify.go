package watcher

import (
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

// defaultPoll finds what no event tells of: network file systems, a watch that could not be
// had, a symbolic link that was turned far away.
const defaultPoll = 30 * time.Second

// maxRounds bounds how often arming starts again because the directories changed meanwhile.
const maxRounds = 8

// Watching says how changes on disk are noticed. The zero value is what production wants.
type Watching struct {
	// Poll is the time after which everything is looked at again, event or not. Zero means
	// 30 seconds; below zero there is no poll.
	Poll time.Duration
	// NewWatcher gets a watcher. Nil means fsnotify.NewWatcher.
	NewWatcher func() (*fsnotify.Watcher, error)
}

// ticks gives the channel of the poll, and how to stop it.
func (w Watching) ticks() (<-chan time.Time, func()) {
	if w.Poll < 0 {
		return nil, func() {}
	}
	poll := w.Poll
	if poll == 0 {
		poll = defaultPoll
	}
	ticker := time.NewTicker(poll)
	return ticker.C, ticker.Stop
}

func (w Watching) open() (*fsnotify.Watcher, error) {
	if w.NewWatcher == nil {
		return fsnotify.NewWatcher()
	}
	return w.NewWatcher()
}

// notifier tells that something changed in some directories. It watches directories, never
// files: a watched file is lost at the first rename. It survives its watcher, the
// directories, and the lack of either.
type notifier struct {
	watching Watching
	log      zerolog.Logger
	// directories gives those that matter now, which need not exist.
	directories func() []string
	// wake has a token when there is a reason to look again.
	wake chan struct{}
	// points are those that are watched; the pump reads them.
	points atomic.Pointer[points]

	// These belong to Run.
	line    *line
	trouble string
}

// line is one fsnotify watcher and the state of its pump.
type line struct {
	watcher *fsnotify.Watcher
	failed  atomic.Bool
	closed  chan struct{}
	pump    sync.WaitGroup
}

func newNotifier(watching Watching, log zerolog.Logger, directories func() []string) *notifier {
	return &notifier{watching: watching, log: log, directories: directories, wake: make(chan struct{}, 1)}
}

// Run calls changed once at the beginning, and then whenever something may have changed,
// until ctx ends. It returns nil.
func (n *notifier) Run(ctx context.Context, changed func()) error {
	ticks, stop := n.watching.ticks()
	defer stop()
	defer n.hangUp()
	for {
		// What changes between arming and reading is told by an event, and what changed
		// before is read. The other way round, an update could fall between.
		n.arm()
		changed()
		select {
		case <-ctx.Done():
			return nil
		case <-n.wake:
		case <-ticks:
		}
	}
}

// again asks Run to look at the directories again. It never blocks.
func (n *notifier) again() { poke(n.wake) }

// arm makes the watches what they should be now. Without a watcher there are none, and it
// is tried again the next time.
func (n *notifier) arm() {
	err := n.connect()
	// A directory that appeared after it was looked for and before its parent was watched
	// would be missed. Once a round finds nothing to add there is none.
	for range maxRounds {
		if err != nil {
			break
		}
		var added bool
		if added, err = n.armOnce(); !added {
			break
		}
	}
	n.report(err)
}

// connect gets a watcher if there is none or it broke.
func (n *notifier) connect() error {
	if n.line != nil && !n.line.failed.Load() {
		return nil
	}
	n.hangUp()
	watcher, err := n.watching.open()
	if err != nil {
		return err
	}
	l := &line{watcher: watcher, closed: make(chan struct{})}
	n.points.Store(&points{})
	n.line = l
	l.pump.Go(func() { n.pump(l) })
	return nil
}

// hangUp closes the watcher. The pump goes on until that is done: fsnotify sends errors
// while it holds the lock that Close and Add need.
func (n *notifier) hangUp() {
	if n.line == nil {
		return
	}
	n.line.failed.Store(true) // that it ends is no news from here on
	if err := n.line.watcher.Close(); err != nil {
		n.log.Debug().Err(err).Msg("closing the file system watcher")
	}
	close(n.line.closed)
	n.line.pump.Wait()
	n.line = nil
}

// armOnce adds and removes watches. It is true when one was added; the error is the last of
// those that could not be.
func (n *notifier) armOnce() (bool, error) {
	watcher := n.line.watcher
	wanted, before := survey(n.directories()), *n.points.Load()
	// The pump must know a directory before its first event comes.
	n.points.Store(&wanted)
	alive := make(map[string]bool)
	for _, path := range watcher.WatchList() {
		alive[path] = true
		if wanted[path] == nil {
			n.drop(path)
		}
	}
	var added bool
	var failure error
	// Parents first, so that whatever happens to a child after it was looked at is seen.
	for _, path := range slices.Sorted(maps.Keys(wanted)) {
		if old := before[path]; alive[path] && old != nil && os.SameFile(old.info, wanted[path].info) {
			continue
		}
		if alive[path] {
			n.drop(path)
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

func (n *notifier) drop(path string) {
	// The kernel drops the watch of a directory that is gone by itself.
	if err := n.line.watcher.Remove(path); err != nil {
		n.log.Debug().Err(err).Str("directory", path).Msg("removing a file system watch")
	}
}

// report says once that changes are noticed late, and once that they are not any more.
func (n *notifier) report(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text == n.trouble {
		return
	}
	n.trouble = text
	if err == nil {
		n.log.Info().Msg("file system events are watched again")
		return
	}
	directories := n.directories()
	slices.Sort(directories)
	n.log.Warn().Err(err).Strs("directories", slices.Compact(directories)).
		Msg("file system events cannot be watched: only the poll and SIGHUP notice the changes that are missed; " +
			"if a limit is exhausted, raise the sysctl fs.inotify.max_user_instances or fs.inotify.max_user_watches")
}

// pump takes what the watcher reports. It never blocks on us, because the kernel's queue is
// finite, and fsnotify's Add waits for its errors to be taken.
func (n *notifier) pump(l *line) {
	for {
		select {
		case <-l.closed:
			return
		case event, open := <-l.watcher.Events:
			if !open {
				n.fail(l, fsnotify.ErrClosed)
				return
			}
			if n.points.Load().concern(event.Name) {
				n.again()
			}
		case err, open := <-l.watcher.Errors:
			if !open {
				n.fail(l, fsnotify.ErrClosed)
				return
			}
			n.lost(l, err)
		}
	}
}

// lost handles an error of the watcher: events may be missing.
func (n *notifier) lost(l *line, err error) {
	if !errors.Is(err, fsnotify.ErrEventOverflow) {
		n.fail(l, err)
		return
	}
	n.log.Debug().Msg("the queue of file system events overflowed")
	n.again()
}

// fail has the watcher replaced. A new one is cheap, and which errors an old one survives is
// not written down.
func (n *notifier) fail(l *line, err error) {
	if l.failed.Swap(true) {
		return
	}
	n.log.Debug().Err(err).Msg("the file system watcher failed and is replaced")
	n.again()
}
