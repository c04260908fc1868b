package watcher_test

import (
	"context"
	"io/fs"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/watcher"
)

// panickingSource is a source that panics while broken is set.
type panickingSource struct {
	*fakeSource
	broken atomic.Bool
}

func (f *panickingSource) Documents(ctx context.Context) ([]conf.Document, error) {
	if f.broken.Load() {
		panic("s3cr3t")
	}
	return f.fakeSource.Documents(ctx)
}

// A reload that panics is logged and counted. What was published stays, and the next reload works.
func TestReloadPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &panickingSource{fakeSource: newFakeSource("a", sidecar("logger:v1", "first"))}
		b := newTestReloader(t, source).run(t)
		source.broken.Store(true)
		source.hold(sidecar("logger:v1", "second"))
		b.reload()
		b.wantServed(t, "logger:v1=first")
		b.wantResults(t, true, false)
		line := b.log.wantLines(t, "reload panicked: the current snapshot stays in service", 1)[0]
		if stack, _ := line["stack"].(string); line["level"] != "error" || !strings.Contains(stack, "panic_test.go") {
			t.Errorf("the line is %v", line)
		}
		source.broken.Store(false)
		b.reload()
		b.wantServed(t, "logger:v1=second")
		b.wantResults(t, true, false, true)
		if strings.Contains(b.log.String(), "s3cr3t") {
			t.Errorf("the log has the value of the panic: %s", b.log)
		}
	})
}

// missingFiles is an empty file system that calls the function for each Open.
type missingFiles func()

func (f missingFiles) Open(name string) (fs.File, error) {
	f()
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// A document whose load panics does not affect others.
func TestDocumentPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFakeSource("a", sidecar("logger:v1", "first"), "name: child\ninherits: base.yaml\n")
		b := newTestReloader(t, source)
		source.documents[1].Files = missingFiles(func() { panic("s3cr3t") })
		b.run(t)
		b.wantServed(t, "logger:v1=first")
		b.wantResults(t, false)
		b.log.wantLines(t, "loading a document panicked", 1)
		b.log.wantLines(t, "document rejected", 1)
	})
}

// The end of ctx stops a load between documents.
func TestLoadEndsWithContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFakeSource("a",
			"name: a\ninherits: a.yaml\n", "name: b\ninherits: b.yaml\n", "name: c\ninherits: c.yaml\n")
		opened := 0
		for i := range source.documents {
			source.documents[i].Files = missingFiles(func() {
				opened++
				time.Sleep(time.Second)
			})
		}
		publisher := new(fakePublisher)
		r := watcher.NewReloader(watcher.Options{
			Sources: []watcher.Source{source}, Publisher: publisher, Log: new(logBuffer).logger(),
		})
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
		if opened != 2 || publisher.current() != 0 {
			t.Errorf("%d files were opened, and %d sets published", opened, publisher.current())
		}
	})
}
