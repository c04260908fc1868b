package watcher_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"k8s-sidecar-injector/conf"
)

// panickingSource is a source that panics while broken is set.
type panickingSource struct {
	*fakeSource
	broken atomic.Bool
}

func (f *panickingSource) Documents(ctx context.Context, loaded *conf.Set) ([]conf.Document, error) {
	if f.broken.Load() {
		panic("s3cr3t")
	}
	return f.fakeSource.Documents(ctx, loaded)
}

// A reload that panics is logged and counted. What was published stays, and the next reload works.
func TestReloadPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &panickingSource{fakeSource: newFakeSource("a", sidecar("logger:v1", "first"))}
		b := newTestReloader(t, source).run(t)
		source.broken.Store(true)
		source.hold(sidecar("logger:v1", "second"))
		b.reload(t, "reload panicked: the current snapshot stays in service; the log contains the stack")
		b.wantServed(t, "logger:v1=first")
		b.wantResults(t, true, false)
		b.wantUnreadable(t, 1)
		line := b.log.wantLines(t, "reload panicked: the current snapshot stays in service", 1)[0]
		if stack, _ := line["stack"].(string); line["level"] != "error" || !strings.Contains(stack, "panic_test.go") {
			t.Errorf("the line is %v", line)
		}
		source.broken.Store(false)
		b.reload(t)
		b.wantServed(t, "logger:v1=second")
		b.wantResults(t, true, false, true)
		b.wantUnreadable(t, 0)
		if strings.Contains(b.log.String(), "s3cr3t") {
			t.Errorf("the log has the value of the panic: %s", b.log)
		}
	})
}

// A document whose load panics does not affect others.
func TestDocumentPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFakeSource("a", sidecar("logger:v1", "first"), "")
		b := newTestReloader(t, source)
		source.documents[1].Err = &conf.PanicError{Stack: []byte("the stack")}
		b.run(t)
		b.wantServed(t, "logger:v1=first")
		b.wantResults(t, false)
		if line := b.log.wantLines(t, "loading a document panicked", 1)[0]; line["stack"] != "the stack" {
			t.Errorf("the line is %v", line)
		}
		b.log.wantLines(t, "document rejected", 1)
	})
}
