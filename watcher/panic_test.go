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

// faulty is a source that may panic.
type faulty struct {
	*fake
	broken atomic.Bool
}

func (f *faulty) Documents(ctx context.Context) ([]conf.Document, error) {
	if f.broken.Load() {
		panic("s3cr3t")
	}
	return f.fake.Documents(ctx)
}

// A reload that panics is logged and counted. What was published stays, and the next reload works.
func TestAReloadPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &faulty{fake: newFake("a", sidecar("logger:v1", "first"))}
		b := newBench(t, source).run(t)
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
			t.Errorf("the log has what the panic was about: %s", b.log)
		}
	})
}

// missing are files of which none is there. Opening one calls the function.
type missing func()

func (f missing) Open(name string) (fs.File, error) {
	f()
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// A document that panics does not keep others from being reloaded.
func TestADocumentPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFake("a", sidecar("logger:v1", "first"), "name: heir\ninherits: base.yaml\n")
		b := newBench(t, source)
		source.documents[1].Files = missing(func() { panic("s3cr3t") })
		b.run(t)
		b.wantServed(t, "logger:v1=first")
		b.wantResults(t, false)
		b.log.wantLines(t, "loading a document panicked", 1)
		b.log.wantLines(t, "document rejected", 1)
	})
}

// The end of the context ends a load that has many documents to go.
func TestALoadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFake("a", "name: a\ninherits: a.yaml\n", "name: b\ninherits: b.yaml\n", "name: c\ninherits: c.yaml\n")
		opened := 0
		for i := range source.documents {
			source.documents[i].Files = missing(func() {
				opened++
				time.Sleep(time.Second)
			})
		}
		shelf := new(shelf)
		r := watcher.NewReloader(watcher.Options{Sources: []watcher.Source{source}, Publisher: shelf, Log: new(logbook).logger()})
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
		if opened != 2 || shelf.generations() != 0 {
			t.Errorf("%d files were opened, and %d sets published", opened, shelf.generations())
		}
	})
}
