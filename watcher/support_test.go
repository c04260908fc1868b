package watcher_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/watcher"
)

// deadline limits what normally takes a moment.
const deadline = 20 * time.Second

// eventually waits until a condition holds. In a synctest bubble, use advance.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	timeout := time.After(deadline)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-timeout:
			t.Fatalf("not within %s: %s", deadline, what)
		case <-tick.C:
		}
	}
}

// receive returns a value from a channel.
func receive[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case value := <-c:
		return value
	case <-time.After(deadline):
		t.Fatalf("not within %s: %s", deadline, what)
		panic("unreachable")
	}
}

// background runs a function until the test ends, and waits for it.
func background(t *testing.T, run func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returned %v after the end of ctx, want nil", err)
		}
	})
}

// logBuffer collects log lines.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) logger() zerolog.Logger { return zerolog.New(l) }

// lines returns the lines whose message has this prefix.
func (l *logBuffer) lines(t *testing.T, message string) []map[string]any {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []map[string]any
	for line := range bytes.Lines(l.text.Bytes()) {
		var fields map[string]any
		if err := json.Unmarshal(line, &fields); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		if text, _ := fields["message"].(string); strings.HasPrefix(text, message) {
			found = append(found, fields)
		}
	}
	return found
}

// wantLines checks the number of lines whose message has this prefix.
func (l *logBuffer) wantLines(t *testing.T, message string, want int) []map[string]any {
	t.Helper()
	found := l.lines(t, message)
	if len(found) != want {
		t.Fatalf("%d log lines %q, want %d, in:\n%s", len(found), message, want, l)
	}
	return found
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// fakePublisher is a Publisher that keeps the latest set, as the store does.
type fakePublisher struct {
	mu         sync.Mutex
	set        *conf.Set
	generation uint64
}

func (s *fakePublisher) Publish(set *conf.Set) (uint64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.set.Equal(set) {
		return s.generation, false
	}
	s.set = set
	s.generation++
	return s.generation, true
}

// served describes the set, such as `logger:v1=first, proxy:v1=second (stale)`, where "first" and "second" are
// service accounts.
func (s *fakePublisher) served() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.set == nil {
		return "nothing published"
	}
	var all []string
	for _, sidecar := range s.set.Sidecars {
		text := sidecar.Ref.String() + "="
		for _, account := range sidecar.Elements("serviceAccountName") {
			text += account.Name
		}
		if sidecar.Stale {
			text += " (stale)"
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

func (s *fakePublisher) current() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.generation
}

// sidecar is a definition that is recognized by its service account.
func sidecar(name, account string) string {
	return "name: " + name + "\nserviceAccountName: " + account + "\n"
}

// write writes a file in place and creates its parent directories.
func write(t *testing.T, content string, path ...string) {
	t.Helper()
	name := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, target string, path ...string) {
	t.Helper()
	if err := os.Symlink(target, filepath.Join(path...)); err != nil {
		t.Fatal(err)
	}
}

func makeFIFO(t *testing.T, path ...string) {
	t.Helper()
	if err := syscall.Mkfifo(filepath.Join(path...), 0o600); err != nil {
		t.Fatal(err)
	}
}

// mountVolume writes files as the kubelet does for a mounted ConfigMap or Secret: it creates a directory for each
// version, and renames the symbolic link ..data.
func mountVolume(t *testing.T, directory, version string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		write(t, content, directory, "..version_"+version, name)
	}
	data := filepath.Join(directory, "..data")
	old, _ := os.Readlink(data)
	symlink(t, "..version_"+version, directory, "..data_tmp")
	rename(t, filepath.Join(directory, "..data_tmp"), data)
	for name := range files {
		if _, err := os.Lstat(filepath.Join(directory, name)); err != nil {
			symlink(t, filepath.Join("..data", name), directory, name)
		}
	}
	if old != "" {
		remove(t, filepath.Join(directory, old))
	}
}

// fakeSource is a source in memory.
type fakeSource struct {
	name string

	mu        sync.Mutex
	documents []conf.Document
	err       error
	reads     []time.Time
	changed   func()
	stop      chan error
}

func newFakeSource(name string, content ...string) *fakeSource {
	f := &fakeSource{name: name, stop: make(chan error, 1)}
	f.hold(content...)
	return f
}

// hold sets the documents and the error, without an event.
func (f *fakeSource) hold(content ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.documents = nil, nil
	for i, text := range content {
		origin := conf.Origin{Kind: conf.ConfigMap, Root: f.name, Name: "key", Index: i}
		f.documents = append(f.documents, conf.Document{Origin: origin, Content: []byte(text), Line: 1})
	}
}

func (f *fakeSource) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// event reports a change.
func (f *fakeSource) event() {
	f.mu.Lock()
	changed := f.changed
	f.mu.Unlock()
	changed()
}

func (f *fakeSource) readTimes() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.reads)
}

func (f *fakeSource) String() string { return "fake " + f.name }

func (f *fakeSource) Documents(ctx context.Context, _ *conf.Set) ([]conf.Document, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads = append(f.reads, time.Now())
	if f.err != nil {
		return nil, f.err
	}
	return slices.Clone(f.documents), ctx.Err()
}

func (f *fakeSource) Run(ctx context.Context, changed func()) error {
	f.mu.Lock()
	f.changed = changed
	f.mu.Unlock()
	select {
	case err := <-f.stop:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

var _ watcher.Source = (*fakeSource)(nil)
