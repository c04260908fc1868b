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

// house is a reloader over a real directory, which sees events only: there is no poll
// unless a test wants one.
type house struct {
	*watcher.Reloader
	path  string
	shelf *shelf
	log   *logbook

	mu       sync.Mutex
	watchers []*fsnotify.Watcher
}

// spied is a directory that tells when its watches are in place, and when it was read.
type spied struct {
	*watcher.Directory
	armed func()
	read  func()
}

func (s spied) Run(ctx context.Context, changed func()) error {
	return s.Directory.Run(ctx, func() {
		s.armed()
		changed()
	})
}

func (s spied) Documents(ctx context.Context) ([]conf.Document, error) {
	defer s.read()
	return s.Directory.Documents(ctx)
}

// inhabit starts a reloader and waits until nothing but an event can make it read again.
func inhabit(t *testing.T, path string, watching watcher.Watching) *house {
	t.Helper()
	h := &house{path: path, shelf: new(shelf), log: new(logbook)}
	open := watching.NewWatcher
	if open == nil {
		open = fsnotify.NewWatcher
	}
	watching.NewWatcher = func() (*fsnotify.Watcher, error) { return h.keep(open()) }
	directory := watcher.NewDirectory(path, h.log.logger())
	directory.Watching = watching
	armed, read := make(chan struct{}, 1000), make(chan struct{}, 1000)
	source := spied{directory, func() { offer(armed) }, func() { offer(read) }}
	h.Reloader = watcher.NewReloader(watcher.Options{
		Sources: []watcher.Source{source}, Publisher: h.shelf, Log: h.log.logger(),
	})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("served %q; log:\n%s", h.shelf.served(), h.log)
		}
	})
	background(t, h.Run)
	receive(t, "the first watch", armed)
	receive(t, "the first reading", read)
	if watching.Poll < 0 {
		receive(t, "the reading after the first watch", read)
	}
	return h
}

func offer(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (h *house) keep(w *fsnotify.Watcher, err error) (*fsnotify.Watcher, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		h.watchers = append(h.watchers, w)
	}
	return w, err
}

// watcher gives the watcher that was opened latest.
func (h *house) watcher() (latest *fsnotify.Watcher, opened int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.watchers[len(h.watchers)-1], len(h.watchers)
}

func (h *house) wantServed(t *testing.T, want string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%q is served", want), func() bool { return h.shelf.served() == want })
}

// eventsOnly is a house in which nothing but events makes anything happen.
func eventsOnly(t *testing.T, path string) *house {
	t.Helper()
	return inhabit(t, path, watcher.Watching{Poll: -1})
}

func noWatcher() (*fsnotify.Watcher, error) {
	return nil, syscall.EMFILE
}

// confDirectory is a directory that holds one sidecar.
func confDirectory(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "conf")
	write(t, sidecar("logger:v1", "first"), path, "logger.yaml")
	return path
}

func TestAFileIsWrittenInPlace(t *testing.T) {
	t.Parallel()
	path := confDirectory(t)
	h := eventsOnly(t, path)
	h.wantServed(t, "logger:v1=first")
	for _, mark := range []string{"second", "third", "fourth"} {
		write(t, sidecar("logger:v1", mark), path, "logger.yaml")
		h.wantServed(t, "logger:v1="+mark)
	}
}

func TestAFileIsReplacedByRename(t *testing.T) {
	t.Parallel()
	path := confDirectory(t)
	h := eventsOnly(t, path)
	for _, mark := range []string{"second", "third", "fourth"} {
		write(t, sidecar("logger:v1", mark), path, ".logger.yaml.swp")
		rename(t, filepath.Join(path, ".logger.yaml.swp"), filepath.Join(path, "logger.yaml"))
		h.wantServed(t, "logger:v1="+mark)
	}
}

func TestAFileIsCreatedAndDeleted(t *testing.T) {
	t.Parallel()
	path := confDirectory(t)
	h := eventsOnly(t, path)
	write(t, sidecar("proxy:v1", "new"), path, "proxy.yml")
	h.wantServed(t, "logger:v1=first, proxy:v1=new")
	remove(t, filepath.Join(path, "logger.yaml"))
	h.wantServed(t, "proxy:v1=new")
}

func TestATruncatedFileUnloadsNothing(t *testing.T) {
	t.Parallel()
	path := confDirectory(t)
	h := eventsOnly(t, path)
	write(t, "", path, "logger.yaml")
	h.wantServed(t, "logger:v1=first (stale)")
	write(t, sidecar("logger:v1", "second"), path, "logger.yaml")
	h.wantServed(t, "logger:v1=second")
}

func TestTheDirectoryIsReplaced(t *testing.T) {
	t.Parallel()
	path := confDirectory(t)
	h := eventsOnly(t, path)
	for i, mark := range []string{"second", "third", "fourth"} {
		write(t, sidecar("logger:v1", mark), path+".new", "logger.yaml")
		rename(t, path, path+".old"+strconv.Itoa(i))
		rename(t, path+".new", path)
		h.wantServed(t, "logger:v1="+mark)
		// The watch must be on the new directory, not on the one that had the name before.
		write(t, sidecar("logger:v1", mark+"-edited"), path, "logger.yaml")
		h.wantServed(t, "logger:v1="+mark+"-edited")
	}
}

// The directory itself is not told that it moved: its watch stays on what is now elsewhere.
func TestTheParentOfTheDirectoryIsReplaced(t *testing.T) {
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

func TestTheDirectoryIsReplacedAndTheOldOneDeleted(t *testing.T) {
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

func TestTheDirectoryGoesAwayAndComesBack(t *testing.T) {
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

func TestTheDirectoryIsALinkThatIsTurned(t *testing.T) {
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

func TestTheSwapOfAMountedConfigMap(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	project(t, path, "1", map[string]string{"logger.yaml": sidecar("logger:v1", "first")})
	h := eventsOnly(t, path)
	h.wantServed(t, "logger:v1=first")
	for i := 2; i < 6; i++ {
		mark := "mark" + strconv.Itoa(i)
		project(t, path, strconv.Itoa(i), map[string]string{"logger.yaml": sidecar("logger:v1", mark)})
		h.wantServed(t, "logger:v1="+mark)
	}
	project(t, path, "6", map[string]string{
		"logger.yaml": sidecar("logger:v1", "last"), "proxy.yaml": sidecar("proxy:v1", "new"),
	})
	h.wantServed(t, "logger:v1=last, proxy:v1=new")
	// Of the versions that are gone nothing is left.
	w, _ := h.watcher()
	eventually(t, "only the last version is watched", func() bool {
		return len(w.WatchList()) == 3 && slices.Contains(w.WatchList(), filepath.Join(path, "..version_6"))
	})
}

func TestALinkedFileIsEditedWhereItIs(t *testing.T) {
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

func (h *house) wantWatched(t *testing.T, path string) {
	t.Helper()
	eventually(t, path+" is watched", func() bool {
		w, _ := h.watcher()
		return slices.Contains(w.WatchList(), path)
	})
}

func TestABaseInASubdirectory(t *testing.T) {
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

func TestASubdirectoryThatIsNotUsedAnyMoreIsForgotten(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	write(t, "name: logger:v1\ninherits: sub/base.yaml\n", path, "logger.yaml")
	write(t, sidecar("base:v1", "first"), path, "sub", "base.yaml")
	h := eventsOnly(t, path)
	h.wantWatched(t, filepath.Join(path, "sub"))
	w, _ := h.watcher()
	for i := range 3 {
		mark := "mark" + strconv.Itoa(i)
		write(t, sidecar("logger:v1", mark), path, "logger.yaml")
		h.wantServed(t, "logger:v1="+mark)
	}
	write(t, "", path, "any event")
	eventually(t, "the subdirectory is not watched", func() bool {
		return !slices.Contains(w.WatchList(), filepath.Join(path, "sub"))
	})
}

func TestADirectoryWithABaseThatGoesAwayKeepsServing(t *testing.T) {
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

func TestADirectoryAppearsLate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "parent", "missing", "conf")
	h := eventsOnly(t, path)
	want := "directory " + path + " has not been read yet: opening the config directory: stat " + path + ": no such file or directory"
	wantPending(t, h.Pending(), want)
	write(t, sidecar("logger:v1", "first"), path, "logger.yaml")
	h.wantServed(t, "logger:v1=first")
	wantPending(t, h.Pending())
	write(t, sidecar("logger:v1", "second"), path, "logger.yaml")
	h.wantServed(t, "logger:v1=second")
}

func TestADirectoryAppearsStepByStep(t *testing.T) {
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

func TestAFileGivesWayToADirectory(t *testing.T) {
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

func TestReloadWorksWithoutEvents(t *testing.T) {
	t.Parallel()
	path := confDirectory(t)
	h := inhabit(t, path, watcher.Watching{Poll: -1, NewWatcher: noWatcher})
	write(t, sidecar("logger:v1", "second"), path, "logger.yaml")
	h.Reload()
	h.wantServed(t, "logger:v1=second")
}

// The default poll of 30 s is run in a bubble, where it takes no time.
func TestThePollWorksWithoutEvents(t *testing.T) {
	t.Parallel()
	path := confDirectory(t)
	synctest.Test(t, func(t *testing.T) {
		log := new(logbook)
		directory := watcher.NewDirectory(path, log.logger())
		directory.Watching.NewWatcher = noWatcher
		b := newBench(t, directory).run(t)
		elapse(time.Second)
		write(t, sidecar("logger:v1", "second"), path, "logger.yaml")
		elapse(28 * time.Second)
		b.wantServed(t, "logger:v1=first")
		elapse(2 * time.Second)
		b.wantServed(t, "logger:v1=second")
		elapse(time.Hour)
		warning := log.wantLines(t, "file system events cannot be watched", 1)[0]
		text, _ := warning["message"].(string)
		for _, word := range []string{"poll", "SIGHUP", "fs.inotify.max_user_instances", "fs.inotify.max_user_watches"} {
			if !strings.Contains(text, word) {
				t.Errorf("the warning %q does not name %s", text, word)
			}
		}
		if warning["level"] != "warn" || warning["error"] != syscall.EMFILE.Error() {
			t.Errorf("unexpected log line: %v", warning)
		}
	})
}

func TestThePollGetsAWatcherOnceItCan(t *testing.T) {
	t.Parallel()
	path := confDirectory(t)
	var tries sync.Mutex
	failures := 3
	h := inhabit(t, path, watcher.Watching{Poll: 10 * time.Millisecond, NewWatcher: func() (*fsnotify.Watcher, error) {
		tries.Lock()
		defer tries.Unlock()
		if failures--; failures >= 0 {
			return nil, syscall.EMFILE
		}
		return fsnotify.NewWatcher()
	}})
	eventually(t, "a watcher", func() bool { return len(h.log.lines(t, "file system events are watched again")) == 1 })
	h.log.wantLines(t, "file system events cannot be watched", 1)
	h.wantWatched(t, path)
}

func TestAWatcherThatDiesIsReplaced(t *testing.T) {
	t.Parallel()
	deaths := map[string]func(w *fsnotify.Watcher){
		"closed":       func(w *fsnotify.Watcher) { _ = w.Close() },
		"out of order": func(w *fsnotify.Watcher) { w.Errors <- errors.New("out of order") },
	}
	for name, die := range deaths {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := confDirectory(t)
			h := eventsOnly(t, path)
			w, _ := h.watcher()
			die(w)
			eventually(t, "another watcher", func() bool { _, opened := h.watcher(); return opened == 2 })
			for _, mark := range []string{"second", "third", "fourth"} {
				write(t, sidecar("logger:v1", mark), path, "logger.yaml")
				h.wantServed(t, "logger:v1="+mark)
			}
		})
	}
}

// watch runs a directory alone, and gives what it says to have changed.
func watch(t *testing.T, path string, watching watcher.Watching) <-chan struct{} {
	t.Helper()
	directory := watcher.NewDirectory(path, new(logbook).logger())
	directory.Watching = watching
	changed := make(chan struct{}, 1000)
	background(t, func(ctx context.Context) error {
		return directory.Run(ctx, func() { offer(changed) })
	})
	receive(t, "the call after the first watch", changed)
	return changed
}

// muffled gives a watcher whose events do not come through unless the test hands them on.
func muffled(t *testing.T) (w *fsnotify.Watcher, events <-chan fsnotify.Event, errs <-chan error) {
	t.Helper()
	w, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	events, errs = w.Events, w.Errors
	w.Events, w.Errors = make(chan fsnotify.Event), make(chan error)
	return w, events, errs
}

func TestAnOverflowAloneIsAChange(t *testing.T) {
	t.Parallel()
	w, _, _ := muffled(t)
	changed := watch(t, confDirectory(t), watcher.Watching{
		Poll: -1, NewWatcher: func() (*fsnotify.Watcher, error) { return w, nil },
	})
	w.Errors <- fsnotify.ErrEventOverflow
	receive(t, "the change", changed)
}
