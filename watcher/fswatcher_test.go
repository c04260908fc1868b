package watcher_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/watcher"
)

// noPoll is an interval that does not pass during a test.
const noPoll = time.Hour

// watchedDir is a reloader over a real directory.
type watchedDir struct {
	*watcher.Reloader
	path      string
	publisher *fakePublisher
	log       *logBuffer

	mu       sync.Mutex
	watchers []*fsnotify.Watcher
}

// observedDirectory reports when its watches are added and when it was read.
type observedDirectory struct {
	*watcher.Directory
	watched func()
	read    func()
}

func (s observedDirectory) Run(ctx context.Context, changed func()) error {
	return s.Directory.Run(ctx, func() {
		s.watched()
		changed()
	})
}

func (s observedDirectory) Documents(ctx context.Context, loaded *conf.Set) ([]conf.Document, error) {
	defer s.read()
	return s.Directory.Documents(ctx, loaded)
}

// startDirectory runs a reloader and waits until only an event or the poll causes another read.
func startDirectory(t *testing.T, path string, watching watcher.Watching) *watchedDir {
	t.Helper()
	h := &watchedDir{path: path, publisher: new(fakePublisher), log: new(logBuffer)}
	open := watching.NewWatcher
	if open == nil {
		open = fsnotify.NewWatcher
	}
	watching.NewWatcher = func() (*fsnotify.Watcher, error) { return h.keep(open()) }
	directory := watcher.NewDirectory(path, h.log.logger())
	directory.Watching = watching
	watched, read := make(chan struct{}, 1000), make(chan struct{}, 1000)
	source := observedDirectory{directory, func() { signal(watched) }, func() { signal(read) }}
	h.Reloader = watcher.NewReloader(watcher.Options{
		Sources: []watcher.Source{source}, Publisher: h.publisher, Log: h.log.logger(), Observe: func(bool, int) {},
	})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("served %q; log:\n%s", h.publisher.served(), h.log)
		}
	})
	background(t, h.Run)
	receive(t, "the first watch", watched)
	receive(t, "the first read", read)
	if watching.Poll == noPoll {
		receive(t, "the read after the first watch", read)
	}
	return h
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (h *watchedDir) keep(w *fsnotify.Watcher, err error) (*fsnotify.Watcher, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		h.watchers = append(h.watchers, w)
	}
	return w, err
}

// watcher returns the latest watcher and the number of watchers.
func (h *watchedDir) watcher() (latest *fsnotify.Watcher, opened int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.watchers[len(h.watchers)-1], len(h.watchers)
}

func (h *watchedDir) wantServed(t *testing.T, want string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%q is served", want), func() bool { return h.publisher.served() == want })
}

// eventsOnly runs a reloader that does not poll.
func eventsOnly(t *testing.T, path string) *watchedDir {
	t.Helper()
	return startDirectory(t, path, watcher.Watching{Poll: noPoll})
}

func noWatcher() (*fsnotify.Watcher, error) {
	return nil, syscall.EMFILE
}

// confDirectory returns a directory with one sidecar.
func confDirectory(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "conf")
	write(t, sidecar("logger:v1", "first"), path, "logger.yaml")
	return path
}

func TestFileWrittenInPlace(t *testing.T) {
	t.Parallel()
	path := confDirectory(t)
	h := eventsOnly(t, path)
	h.wantServed(t, "logger:v1=first")
	for _, mark := range []string{"second", "third", "fourth"} {
		write(t, sidecar("logger:v1", mark), path, "logger.yaml")
		h.wantServed(t, "logger:v1="+mark)
	}
}

func TestFileReplacedByRename(t *testing.T) {
	t.Parallel()
	path := confDirectory(t)
	h := eventsOnly(t, path)
	for _, mark := range []string{"second", "third", "fourth"} {
		write(t, sidecar("logger:v1", mark), path, ".logger.yaml.swp")
		rename(t, filepath.Join(path, ".logger.yaml.swp"), filepath.Join(path, "logger.yaml"))
		h.wantServed(t, "logger:v1="+mark)
	}
}

func TestFileCreatedAndDeleted(t *testing.T) {
	t.Parallel()
	path := confDirectory(t)
	h := eventsOnly(t, path)
	write(t, sidecar("proxy:v1", "new"), path, "proxy.yml")
	h.wantServed(t, "logger:v1=first, proxy:v1=new")
	remove(t, filepath.Join(path, "logger.yaml"))
	h.wantServed(t, "proxy:v1=new")
}

func TestFileTruncated(t *testing.T) {
	t.Parallel()
	path := confDirectory(t)
	h := eventsOnly(t, path)
	write(t, "", path, "logger.yaml")
	h.wantServed(t, "logger:v1=first (stale)")
	write(t, sidecar("logger:v1", "second"), path, "logger.yaml")
	h.wantServed(t, "logger:v1=second")
}

func TestDirectoryReplaced(t *testing.T) {
	t.Parallel()
	path := confDirectory(t)
	h := eventsOnly(t, path)
	for i, mark := range []string{"second", "third", "fourth"} {
		write(t, sidecar("logger:v1", mark), path+".new", "logger.yaml")
		rename(t, path, path+".old"+strconv.Itoa(i))
		rename(t, path+".new", path)
		h.wantServed(t, "logger:v1="+mark)
		// The watch must be that of the new directory.
		write(t, sidecar("logger:v1", mark+"-edited"), path, "logger.yaml")
		h.wantServed(t, "logger:v1="+mark+"-edited")
	}
}

// The watch of a directory has no event when its parent is renamed.
func TestParentReplaced(t *testing.T) {
	t.Parallel()
	parent := filepath.Join(t.TempDir(), "parent")
	path := filepath.Join(parent, "conf")
	write(t, sidecar("logger:v1", "first"), path, "logger.yaml")
	h := eventsOnly(t, path)
	for i, mark := range []string{"second", "third", "fourth"} {
		write(t, sidecar("logger:v1", mark), parent+".new", "conf", "logger.yaml")
		rename(t, parent, parent+".old"+strconv.Itoa(i))
		rename(t, parent+".new", parent)
		h.wantServed(t, "logger:v1="+mark)
		write(t, sidecar("logger:v1", mark+"-edited"), path, "logger.yaml")
		h.wantServed(t, "logger:v1="+mark+"-edited")
	}
}

func TestDirectoryReplacedAndDeleted(t *testing.T) {
	t.Parallel()
	path := confDirectory(t)
	h := eventsOnly(t, path)
	for i := range 20 {
		mark := "mark" + strconv.Itoa(i)
		write(t, sidecar("logger:v1", mark), path+".new", "logger.yaml")
		rename(t, path, path+".old")
		rename(t, path+".new", path)
		remove(t, path+".old")
	}
	h.wantServed(t, "logger:v1=mark19")
	write(t, sidecar("logger:v1", "edited"), path, "logger.yaml")
	h.wantServed(t, "logger:v1=edited")
}

func TestDirectoryRemovedAndRestored(t *testing.T) {
	t.Parallel()
	path := confDirectory(t)
	h := eventsOnly(t, path)
	rename(t, path, path+".away")
	eventually(t, "the absence is logged", func() bool { return len(h.log.lines(t, "source cannot be read")) == 1 })
	h.wantServed(t, "logger:v1=first")
	rename(t, path+".away", path)
	eventually(t, "the return is logged", func() bool { return len(h.log.lines(t, "source can be read")) == 1 })
	write(t, sidecar("logger:v1", "second"), path, "logger.yaml")
	h.wantServed(t, "logger:v1=second")
}

func TestDirectorySymlinkReplaced(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	write(t, sidecar("logger:v1", "first"), top, "releases", "1", "logger.yaml")
	write(t, sidecar("logger:v1", "second"), top, "releases", "2", "logger.yaml")
	path := filepath.Join(top, "conf")
	symlink(t, "releases/1", path)
	h := eventsOnly(t, path)
	h.wantServed(t, "logger:v1=first")
	symlink(t, "releases/2", top, "conf.new")
	rename(t, path+".new", path)
	h.wantServed(t, "logger:v1=second")
	write(t, sidecar("logger:v1", "third"), path, "logger.yaml")
	h.wantServed(t, "logger:v1=third")
}

func TestMountedConfigMap(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	mountVolume(t, path, "1", map[string]string{"logger.yaml": sidecar("logger:v1", "first")})
	h := eventsOnly(t, path)
	h.wantServed(t, "logger:v1=first")
	for i := 2; i < 6; i++ {
		mark := "mark" + strconv.Itoa(i)
		mountVolume(t, path, strconv.Itoa(i), map[string]string{"logger.yaml": sidecar("logger:v1", mark)})
		h.wantServed(t, "logger:v1="+mark)
	}
	mountVolume(t, path, "6", map[string]string{
		"logger.yaml": sidecar("logger:v1", "last"), "proxy.yaml": sidecar("proxy:v1", "new"),
	})
	h.wantServed(t, "logger:v1=last, proxy:v1=new")
	eventually(t, "only the last version is watched", func() bool {
		w, _ := h.watcher()
		return len(w.WatchList()) == 3 && slices.Contains(w.WatchList(), filepath.Join(path, "..version_6"))
	})
}

func TestSymlinkTargetWritten(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	write(t, sidecar("logger:v1", "first"), path, "files", "logger.txt")
	symlink(t, "files/logger.txt", path, "logger.yaml")
	h := eventsOnly(t, path)
	for _, mark := range []string{"second", "third", "fourth"} {
		h.wantWatched(t, filepath.Join(path, "files"))
		write(t, sidecar("logger:v1", mark), path, "files", "logger.txt")
		h.wantServed(t, "logger:v1="+mark)
	}
}

func (h *watchedDir) wantWatched(t *testing.T, path string) {
	t.Helper()
	eventually(t, path+" is watched", func() bool {
		w, _ := h.watcher()
		return slices.Contains(w.WatchList(), path)
	})
}

func TestBaseInSubdirectory(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	write(t, "name: logger:v1\ninherits: sub/base.yaml\n", path, "logger.yaml")
	h := eventsOnly(t, path)
	h.wantServed(t, "")
	for _, mark := range []string{"first", "second", "third", "fourth"} {
		write(t, sidecar("base:v1", mark), path, "sub", "base.yaml")
		h.wantServed(t, "logger:v1="+mark)
	}
	remove(t, filepath.Join(path, "sub"))
	h.wantServed(t, "logger:v1=fourth (stale)")
	write(t, sidecar("base:v1", "fifth"), path, "sub", "base.yaml")
	h.wantServed(t, "logger:v1=fifth")
}

func TestBaseInLinkedSubdirectory(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	write(t, "name: logger:v1\ninherits: sub/base.yaml\n", path, "logger.yaml")
	write(t, sidecar("base:v1", "first"), path, ".releases", "1", "base.yaml")
	write(t, sidecar("base:v1", "second"), path, ".releases", "2", "base.yaml")
	symlink(t, ".releases/1", path, "sub")
	h := eventsOnly(t, path)
	h.wantServed(t, "logger:v1=first")
	symlink(t, ".releases/2", path, "sub.new")
	rename(t, filepath.Join(path, "sub.new"), filepath.Join(path, "sub"))
	h.wantServed(t, "logger:v1=second")
	h.wantWatched(t, filepath.Join(path, ".releases", "2"))
	write(t, sidecar("base:v1", "third"), path, "sub", "base.yaml")
	h.wantServed(t, "logger:v1=third")
	eventually(t, "only the new target is watched", func() bool {
		w, _ := h.watcher()
		list := w.WatchList()
		return slices.Contains(list, filepath.Join(path, ".releases", "2")) &&
			!slices.Contains(list, filepath.Join(path, ".releases", "1"))
	})
}

func TestBaseInNestedSubdirectory(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	write(t, "name: logger:v1\ninherits: a/b/base.yaml\n", path, "logger.yaml")
	h := eventsOnly(t, path)
	write(t, sidecar("base:v1", "first"), path, "a", "b", "base.yaml")
	h.wantServed(t, "logger:v1=first")
	remove(t, filepath.Join(path, "a", "b"))
	h.wantServed(t, "logger:v1=first (stale)")
	write(t, sidecar("base:v1", "second"), path, "a", "b", "base.yaml")
	h.wantServed(t, "logger:v1=second")
}

func TestDirectoryWithBaseRemoved(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "conf")
	write(t, "name: logger:v1\ninherits: sub/base.yaml\n", path, "logger.yaml")
	write(t, sidecar("base:v1", "first"), path, "sub", "base.yaml")
	h := eventsOnly(t, path)
	h.wantServed(t, "logger:v1=first")
	rename(t, path, path+".away")
	eventually(t, "the absence is logged", func() bool { return len(h.log.lines(t, "source cannot be read")) == 1 })
	h.wantServed(t, "logger:v1=first")
	h.log.wantLines(t, "document rejected", 0)
}

func TestDirectoryCreatedLate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "parent", "missing", "conf")
	h := eventsOnly(t, path)
	want := "directory " + path + " has not been read yet: opening the config directory: " +
		"open " + path + "/: no such file or directory"
	wantPending(t, h.Pending(), want)
	write(t, sidecar("logger:v1", "first"), path, "logger.yaml")
	h.wantServed(t, "logger:v1=first")
	wantPending(t, h.Pending())
	write(t, sidecar("logger:v1", "second"), path, "logger.yaml")
	h.wantServed(t, "logger:v1=second")
}

func TestDirectoryCreatedStepByStep(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	path := filepath.Join(top, "parent", "conf")
	h := eventsOnly(t, path)
	write(t, "", top, "parent", "file")
	h.wantWatched(t, filepath.Join(top, "parent"))
	write(t, sidecar("logger:v1", "first"), top, "parent", "conf.new", "logger.yaml")
	rename(t, path+".new", path)
	h.wantServed(t, "logger:v1=first")
}

func TestFileReplacedByDirectory(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "conf")
	write(t, "", path)
	h := eventsOnly(t, path)
	if got := h.Pending(); len(got) != 1 || !strings.HasSuffix(got[0], "not a directory") {
		t.Fatalf("pending %q", got)
	}
	remove(t, path)
	write(t, sidecar("logger:v1", "first"), path, "logger.yaml")
	h.wantServed(t, "logger:v1=first")
}

func TestReloadWithoutEvents(t *testing.T) {
	t.Parallel()
	path := confDirectory(t)
	h := startDirectory(t, path, watcher.Watching{Poll: noPoll, NewWatcher: noWatcher})
	write(t, sidecar("logger:v1", "second"), path, "logger.yaml")
	if err := h.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.wantServed(t, "logger:v1=second")
}

func TestPollWithoutEvents(t *testing.T) {
	t.Parallel()
	path := confDirectory(t)
	synctest.Test(t, func(t *testing.T) {
		log := new(logBuffer)
		directory := watcher.NewDirectory(path, log.logger())
		directory.Watching.NewWatcher = noWatcher
		b := newTestReloader(t, directory).run(t)
		advance(time.Second)
		write(t, sidecar("logger:v1", "second"), path, "logger.yaml")
		advance(28 * time.Second)
		b.wantServed(t, "logger:v1=first")
		advance(2 * time.Second)
		b.wantServed(t, "logger:v1=second")
		advance(time.Hour)
		warning := log.wantLines(t, "cannot watch file system events", 1)[0]
		text, _ := warning["message"].(string)
		for _, word := range []string{"polling", "SIGHUP", "fs.inotify.max_user_instances", "fs.inotify.max_user_watches"} {
			if !strings.Contains(text, word) {
				t.Errorf("the warning %q does not name %s", text, word)
			}
		}
		if warning["level"] != "warn" || warning["error"] != syscall.EMFILE.Error() {
			t.Errorf("unexpected log line: %v", warning)
		}
	})
}

func TestPollOpensWatcher(t *testing.T) {
	t.Parallel()
	path := confDirectory(t)
	failures := 3
	open := func() (*fsnotify.Watcher, error) {
		if failures--; failures >= 0 {
			return nil, syscall.EMFILE
		}
		return fsnotify.NewWatcher()
	}
	h := startDirectory(t, path, watcher.Watching{Poll: 10 * time.Millisecond, NewWatcher: open})
	eventually(t, "a watcher", func() bool { return len(h.log.lines(t, "file system events are watched again")) == 1 })
	h.log.wantLines(t, "cannot watch file system events", 1)
	h.wantWatched(t, path)
}

func TestBrokenWatcherIsReopened(t *testing.T) {
	t.Parallel()
	faults := map[string]func(w *fsnotify.Watcher){
		"closed": func(w *fsnotify.Watcher) { _ = w.Close() },
		"failed": func(w *fsnotify.Watcher) { w.Errors <- errors.New("failed") },
	}
	for name, breakWatcher := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := confDirectory(t)
			h := eventsOnly(t, path)
			w, before := h.watcher()
			breakWatcher(w)
			eventually(t, "another watcher", func() bool { _, opened := h.watcher(); return opened > before })
			for _, mark := range []string{"second", "third", "fourth"} {
				write(t, sidecar("logger:v1", mark), path, "logger.yaml")
				h.wantServed(t, "logger:v1="+mark)
			}
		})
	}
}

// watchDirectory runs a directory and returns a channel of its changes.
func watchDirectory(t *testing.T, path string, watching watcher.Watching) <-chan struct{} {
	t.Helper()
	directory := watcher.NewDirectory(path, new(logBuffer).logger())
	directory.Watching = watching
	changed := make(chan struct{}, 1000)
	background(t, func(ctx context.Context) error {
		return directory.Run(ctx, func() { signal(changed) })
	})
	receive(t, "the call after the first watch", changed)
	return changed
}

// interceptedWatcher returns a watcher whose events and errors go to the test instead, and a function that opens
// this watcher first.
func interceptedWatcher(t *testing.T) (
	w *fsnotify.Watcher, open func() (*fsnotify.Watcher, error), events <-chan fsnotify.Event, errs <-chan error,
) {
	t.Helper()
	w, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	events, errs = w.Events, w.Errors
	w.Events, w.Errors = make(chan fsnotify.Event), make(chan error)
	opened := false
	open = func() (*fsnotify.Watcher, error) {
		if opened {
			return fsnotify.NewWatcher()
		}
		opened = true
		return w, nil
	}
	return w, open, events, errs
}

func TestOverflowIsAChange(t *testing.T) {
	t.Parallel()
	w, open, _, _ := interceptedWatcher(t)
	changed := watchDirectory(t, confDirectory(t), watcher.Watching{Poll: noPoll, NewWatcher: open})
	w.Errors <- fsnotify.ErrEventOverflow
	receive(t, "the change", changed)
}
