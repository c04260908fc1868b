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

// The test drops all events and passes on the overflow of the kernel's queue only.
func TestInotifyQueueOverflow(t *testing.T) {
	t.Parallel()
	path := confDirectory(t)
	w, open, events, errs := interceptedWatcher(t)
	h := startDirectory(t, path, watcher.Watching{Poll: noPoll, NewWatcher: open})
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

// overflow makes more events than the queue of the kernel holds.
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
	// The kernel merges equal events in a row, so the events alternate between two files. fsnotify has read
	// up to 4096 events.
	names := []string{filepath.Join(path, "a"), filepath.Join(path, "b")}
	write(t, "", names[0])
	write(t, "", names[1])
	for i := range limit + 4096 {
		if err := os.Chmod(names[i%2], 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
