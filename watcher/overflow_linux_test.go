package watcher_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"k8s-sidecar-injector/watcher"
)

// The kernel's queue overflows for real, and every event that it still held is lost on the
// way: only the word of the overflow is left.
func TestTheKernelsQueueOverflows(t *testing.T) {
	t.Parallel()
	path := confDirectory(t)
	w, events, errs := muffled(t)
	h := inhabit(t, path, watcher.Watching{
		Poll: -1, NewWatcher: func() (*fsnotify.Watcher, error) { return w, nil },
	})
	overflow(t, path)
	write(t, sidecar("logger:v1", "last"), path, "logger.yaml")
	for {
		select {
		case <-events:
		case err := <-errs:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				t.Fatal(err)
			}
			w.Errors <- err
			h.wantServed(t, "logger:v1=last")
			return
		case <-time.After(deadline):
			t.Fatal("no overflow")
		}
	}
}

// overflow makes more events than the kernel keeps.
func overflow(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	if err != nil {
		t.Fatal(err)
	}
	limit, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	// Like events in a row are one to the kernel, so two files take turns. fsnotify has
	// taken up to 4096 off the queue.
	names := []string{filepath.Join(path, "a"), filepath.Join(path, "b")}
	for i := range limit + 4096 {
		if err := os.WriteFile(names[i%2], []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
