package watcher_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-multierror"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/watcher"
)

// testReloader is a reloader over fake sources in a synctest bubble.
type testReloader struct {
	*watcher.Reloader
	sources   []watcher.Source
	publisher *fakePublisher
	log       *logBuffer
	start     time.Time

	mu         sync.Mutex
	results    []bool
	unreadable int // of the latest reload
}

func newTestReloader(t *testing.T, sources ...watcher.Source) *testReloader {
	t.Helper()
	b := &testReloader{sources: sources, publisher: new(fakePublisher), log: new(logBuffer), start: time.Now()}
	b.Reloader = watcher.NewReloader(watcher.Options{
		Sources:   sources,
		Publisher: b.publisher,
		Log:       b.log.logger(),
		Observe: func(ok bool, unreadable int) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.results, b.unreadable = append(b.results, ok), unreadable
		},
	})
	return b
}

func (b *testReloader) run(t *testing.T) *testReloader {
	t.Helper()
	background(t, b.Run)
	synctest.Wait()
	return b
}

// event reports a change of the first source and waits for the reload.
func (b *testReloader) event() {
	b.sources[0].(*fakeSource).event()
	advance(time.Second)
}

// reload calls Reload and compares its errors.
func (b *testReloader) reload(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, linesOf(b.Reload(t.Context()))); diff != "" {
		t.Fatalf("errors of Reload (-want +got):\n%s", diff)
	}
}

// linesOf returns the text of each error in a multierror.
func linesOf(err error) (lines []string) {
	if err == nil {
		return nil
	}
	for _, err := range multierror.Append(nil, err).Errors {
		lines = append(lines, err.Error())
	}
	return lines
}

func (b *testReloader) wantServed(t *testing.T, want string) {
	t.Helper()
	if got := b.publisher.served(); got != want {
		t.Fatalf("served %q, want %q; log:\n%s", got, want, b.log)
	}
}

func (b *testReloader) wantResults(t *testing.T, want ...bool) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if diff := cmp.Diff(want, b.results); diff != "" {
		t.Fatalf("observed results (-want +got):\n%s", diff)
	}
}

func (b *testReloader) wantUnreadable(t *testing.T, want int) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.unreadable != want {
		t.Fatalf("%d sources cannot be read, want %d", b.unreadable, want)
	}
}

// advance advances the clock of the bubble and waits until all goroutines are idle.
func advance(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// readAfter returns when the source was read, since the start.
func (b *testReloader) readAfter(f *fakeSource) []time.Duration {
	var all []time.Duration
	for _, at := range f.readTimes() {
		all = append(all, at.Sub(b.start))
	}
	return all
}

func (b *testReloader) wantReads(t *testing.T, f *fakeSource, want ...time.Duration) {
	t.Helper()
	if diff := cmp.Diff(want, b.readAfter(f)); diff != "" {
		t.Fatalf("read at (-want +got):\n%s", diff)
	}
}

func TestDebounce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFakeSource("a", sidecar("logger:v1", "first"))
		b := newTestReloader(t, source).run(t)
		for range 5 {
			source.event()
			advance(50 * time.Millisecond)
		}
		advance(time.Minute)
		// The last event is after 200 ms.
		b.wantReads(t, source, 0, 300*time.Millisecond)
	})
}

func TestQuietSourceIsReadOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFakeSource("a", sidecar("logger:v1", "first"))
		b := newTestReloader(t, source).run(t)
		advance(time.Hour)
		b.wantReads(t, source, 0)
	})
}

func TestDebounceLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFakeSource("a", sidecar("logger:v1", "first"))
		b := newTestReloader(t, source).run(t)
		for range 1000 {
			source.event()
			advance(10 * time.Millisecond)
		}
		reads := b.readAfter(source)
		for i, at := range reads[1:] {
			if gap := at - reads[i]; gap > 450*time.Millisecond {
				t.Fatalf("no reload from %s to %s", reads[i], at)
			}
		}
		if len(reads) < 10_000/450 || len(reads) > 10_000/350 {
			t.Fatalf("%d reloads in 10 s of churn", len(reads))
		}
	})
}

func TestReloadIsNotDebounced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFakeSource("a", sidecar("logger:v1", "first"))
		b := newTestReloader(t, source).run(t)
		advance(time.Second)
		source.hold(sidecar("logger:v1", "second"))
		b.reload(t)
		b.wantServed(t, "logger:v1=second")
		b.wantReads(t, source, 0, time.Second)
	})
}

func TestReloadDuringDebounce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFakeSource("a", sidecar("logger:v1", "first"))
		b := newTestReloader(t, source).run(t)
		source.event()
		advance(20 * time.Millisecond)
		b.reload(t)
		advance(time.Minute)
		b.wantReads(t, source, 0, 20*time.Millisecond)
	})
}

// Reload waits for a reload that begins after the call, not for one that is already running.
func TestReloadBeginsAfterTheCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFakeSource("a", sidecar("logger:v1", "first"))
		b := newTestReloader(t, source)
		done := make(chan error, 1)
		go func() { done <- b.Reload(t.Context()) }() // before Run, whose first reload is not the result
		synctest.Wait()
		b.run(t)
		if err := <-done; err != nil {
			t.Error(err)
		}
		b.wantReads(t, source, 0, 0)
	})
}

// Reload returns every error of the reload, also if none is new, and none of a source that is not synced yet.
func TestReloadReturnsErrors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		good := newFakeSource("good", sidecar("logger:v1", "first"), "name: other\na: 1\nb: 2\n")
		bad, slow := newFakeSource("bad"), newFakeSource("slow")
		bad.fail(errors.New("unavailable"))
		slow.fail(watcher.ErrNotSynced)
		b := newTestReloader(t, good, bad, slow).run(t)
		for range 2 {
			b.reload(t, "fake bad cannot be read: unavailable",
				`configmap good[key]:2: a: Forbidden: unknown field`,
				`configmap good[key]:3: b: Forbidden: unknown field`)
		}
		good.hold(sidecar("logger:v1", "second"))
		bad.hold()
		b.reload(t)
		b.wantServed(t, "logger:v1=second")
	})
}

// Reload returns if ctx ends before the reload.
func TestReloadEndsWithContext(t *testing.T) {
	t.Parallel()
	b := newTestReloader(t, newFakeSource("a"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Reload(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestSourceFailsAtStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		good, bad := newFakeSource("good", sidecar("logger:v1", "first")), newFakeSource("bad")
		bad.fail(errors.New("unavailable"))
		b := newTestReloader(t, good, bad)
		wantStates(t, b.States(), "fake good: false <nil>", "fake bad: false <nil>")
		wantPending(t, b.Pending(), "fake good has not been read yet", "fake bad has not been read yet",
			"no snapshot has been published yet")
		b.run(t)
		b.wantServed(t, "logger:v1=first")
		wantPending(t, b.Pending(), "fake bad has not been read yet: unavailable")
		b.wantUnreadable(t, 1)
		b.log.wantLines(t, "source cannot be read; none of its documents is in service", 1)
		wantStates(t, b.States(), "fake good: true <nil>", "fake bad: false unavailable")

		bad.hold(sidecar("proxy:v1", "other"))
		b.event()
		b.wantServed(t, "logger:v1=first, proxy:v1=other")
		wantPending(t, b.Pending())
		b.wantResults(t, false, true)
		b.wantUnreadable(t, 0)
	})
}

func wantPending(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("pending %q, want %q", got, want)
	}
}

func wantStates(t *testing.T, states []watcher.SourceState, want ...string) {
	t.Helper()
	got := make([]string, len(states))
	for i, s := range states {
		got[i] = fmt.Sprintf("%s: %t %v", s, s.Read, s.Err)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("states %q, want %q", got, want)
	}
}

func TestSourceFailsLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		steady := newFakeSource("steady", sidecar("logger:v1", "first"))
		shaky := newFakeSource("shaky", sidecar("proxy:v1", "first"))
		b := newTestReloader(t, steady, shaky).run(t)
		shaky.fail(errors.New("unavailable"))
		steady.hold(sidecar("logger:v1", "second"))
		b.event()
		b.event()
		b.wantServed(t, "logger:v1=second, proxy:v1=first")
		wantPending(t, b.Pending())
		line := b.log.wantLines(t, "source cannot be read; its last documents stay in service", 1)[0]
		if line["level"] != "error" || line["source"] != "fake shaky" || line["error"] != "unavailable" {
			t.Fatalf("unexpected log line: %v", line)
		}

		shaky.fail(errors.New("overloaded"))
		b.event()
		b.log.wantLines(t, "source cannot be read", 2)
		b.wantUnreadable(t, 1)
		wantStates(t, b.States(), "fake steady: true <nil>", "fake shaky: true overloaded")

		shaky.hold()
		b.event()
		b.event()
		b.wantServed(t, "logger:v1=second")
		b.log.wantLines(t, "source can be read", 1)
		b.wantResults(t, true, false, false, false, true, true)
	})
}

func TestSourceNotSynced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFakeSource("slow")
		source.fail(watcher.ErrNotSynced)
		b := newTestReloader(t, source).run(t)
		wantPending(t, b.Pending(), "fake slow has not been read yet: not synced yet")
		b.wantUnreadable(t, 0)
		source.hold(sidecar("logger:v1", "first"))
		b.event()
		wantPending(t, b.Pending())
		b.wantResults(t, true, true)
		b.log.wantLines(t, "source cannot be read", 0)
		if line := b.log.wantLines(t, "waiting for the source to sync", 1)[0]; line["level"] != "debug" {
			t.Errorf("the line is %v", line)
		}
		b.log.wantLines(t, "source can be read", 0)
	})
}

func TestUnchangedContent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFakeSource("a", sidecar("logger:v1", "first"), "name: [broken\n")
		b := newTestReloader(t, source).run(t)
		before := b.log.String()
		b.event()
		source.event()
		advance(time.Second)
		if got := b.publisher.current(); got != 1 {
			t.Fatalf("generation %d, want 1", got)
		}
		if after := b.log.String(); after != before {
			t.Fatalf("logged without a change: %s", strings.TrimPrefix(after, before))
		}
	})
}

func TestSnapshotIsLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFakeSource("a", sidecar("logger:v1", "first"), sidecar("proxy:v1", "first"))
		b := newTestReloader(t, source).run(t)
		source.hold(sidecar("logger:v1", "second"), "name: []\n")
		b.event()
		line := b.log.wantLines(t, "snapshot published", 2)[1]
		digest, _ := line["digest"].(string)
		if len(digest) != 64 {
			t.Errorf("digest %q", digest)
		}
		delete(line, "digest")
		want := map[string]any{
			"level": "info", "message": "snapshot published",
			"generation": 2.0, "sidecars": 2.0, "rejections": 1.0, "stale": 1.0,
			"changed": []any{"logger:v1"},
		}
		if diff := cmp.Diff(want, line); diff != "" {
			t.Fatalf("log line (-want +got):\n%s", diff)
		}
	})
}

func TestSnapshotLogNamesChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFakeSource("a", sidecar("logger:v1", "first"), sidecar("proxy:v1", "first"))
		b := newTestReloader(t, source).run(t)
		var many []string
		for i := range 25 {
			many = append(many, sidecar(fmt.Sprintf("new%02d:v1", i), "first"))
		}
		source.hold(append(many, sidecar("proxy:v1", "second"))...)
		b.event()
		lines := b.log.wantLines(t, "snapshot published", 2)
		if diff := cmp.Diff([]any{"logger:v1", "proxy:v1"}, lines[0]["added"]); diff != "" {
			t.Errorf("added at first (-want +got):\n%s", diff)
		}
		added, _ := lines[1]["added"].([]any)
		if len(added) != 21 || added[0] != "new00:v1" || added[20] != "and 5 more" {
			t.Errorf("added: %v", added)
		}
		if diff := cmp.Diff([]any{"proxy:v1"}, lines[1]["changed"]); diff != "" {
			t.Errorf("changed (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]any{"logger:v1"}, lines[1]["removed"]); diff != "" {
			t.Errorf("removed (-want +got):\n%s", diff)
		}
	})
}

// An explicit reload logs all errors again, and its result.
func TestReloadAlwaysLogs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const unavailable = "fake bad cannot be read: unavailable"
		good, bad := newFakeSource("good", sidecar("logger:v1", "first"), "name: []\n"), newFakeSource("bad")
		bad.fail(errors.New("unavailable"))
		b := newTestReloader(t, good, bad).run(t)
		b.reload(t, unavailable,
			"configmap good[key]:1: name: Invalid value: must be a string, not a list")
		b.log.wantLines(t, "reloaded, no changes", 1)
		b.log.wantLines(t, "document rejected", 2)
		b.log.wantLines(t, "source cannot be read", 2)
		b.log.wantLines(t, "snapshot published", 1)

		good.hold(sidecar("logger:v1", "first"))
		b.reload(t, unavailable)
		b.log.wantLines(t, "rejection cleared", 1)
		b.log.wantLines(t, "document rejected", 2)
		b.event()
		b.log.wantLines(t, "source cannot be read", 3)
	})
}

func TestRejectionIsLoggedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFakeSource("a", sidecar("logger:v1", "first"))
		b := newTestReloader(t, source).run(t)
		source.hold(sidecar("logger:v1", "[7]"))
		b.event()
		b.event()
		line := b.log.wantLines(t, "document rejected", 1)[0]
		if line["level"] != "error" || line["origin"] != "configmap a[key]" {
			t.Errorf("unexpected log line: %v", line)
		}
		if diff := cmp.Diff([]any{"logger:v1"}, line["still_served"]); diff != "" {
			t.Errorf("stale (-want +got):\n%s", diff)
		}
		if errs, _ := line["errors"].([]any); len(errs) != 1 {
			t.Errorf("errors %v, want one", line["errors"])
		}
		b.wantServed(t, "logger:v1=first (stale)")

		source.hold("name: logger:v1\nhostNetwork: 7\n")
		b.event()
		b.log.wantLines(t, "document rejected", 2)
		b.log.wantLines(t, "rejection cleared", 0)

		source.hold(sidecar("logger:v1", "second"))
		b.event()
		b.event()
		b.wantServed(t, "logger:v1=second")
		b.log.wantLines(t, "document rejected", 2)
		if line := b.log.wantLines(t, "rejection cleared", 1)[0]; line["origin"] != "configmap a[key]" {
			t.Errorf("unexpected log line: %v", line)
		}
		b.wantResults(t, true, false, false, false, true, true)
	})
}

func TestRules(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFakeSource("a", "name: logger:v1\nhostPID: true\n")
		b := newTestReloader(t, source).run(t)
		b.wantServed(t, "")
		publisher := new(fakePublisher)
		lax := watcher.NewReloader(watcher.Options{
			Sources: []watcher.Source{source}, Rules: conf.Consent(conf.ConfigMap), Publisher: publisher, Log: b.log.logger(),
			Observe: func(bool, int) {},
		})
		background(t, lax.Run)
		synctest.Wait()
		if got := publisher.served(); !strings.HasPrefix(got, "logger:v1=") {
			t.Errorf("served %q, want the privileged definition", got)
		}
	})
}

func TestRejectionOfRemovedDocument(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFakeSource("a", sidecar("logger:v1", "[7]"))
		b := newTestReloader(t, source).run(t)
		b.wantServed(t, "")
		source.hold()
		b.event()
		b.log.wantLines(t, "rejection cleared", 1)
		b.wantResults(t, false, true)
	})
}

func TestSourceStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken, other := newFakeSource("broken"), newFakeSource("other")
		broken.stop <- errors.New("broken")
		err := newTestReloader(t, broken, other).Run(t.Context())
		if err == nil || err.Error() != "watching fake broken: broken" {
			t.Fatalf("Run returned %v", err)
		}
	})
}

func TestNothingIsPublishedAfterContextEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		b := newTestReloader(t, newFakeSource("a", sidecar("logger:v1", "first")))
		if err := b.Run(ctx); err != nil {
			t.Fatal(err)
		}
		b.wantServed(t, "nothing published")
		if log := b.log.String(); log != "" {
			t.Fatalf("logged %s", log)
		}
	})
}

// pendingChecker is a Publisher that counts calls while nothing is pending.
type pendingChecker struct {
	fakePublisher
	pending func() []string
	ready   int
}

func (n *pendingChecker) Publish(set *conf.Set) (uint64, bool) {
	if len(n.pending()) == 0 {
		n.ready++
	}
	return n.fakePublisher.Publish(set)
}

// A source is pending until its documents are published, not until they are read.
func TestPendingUntilPublished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		late := newFakeSource("late")
		late.fail(watcher.ErrNotSynced)
		publisher := new(pendingChecker)
		reloader := watcher.NewReloader(watcher.Options{
			Sources:   []watcher.Source{newFakeSource("early", sidecar("a", "x")), late},
			Publisher: publisher, Log: new(logBuffer).logger(), Observe: func(bool, int) {},
		})
		publisher.pending = reloader.Pending
		background(t, reloader.Run)
		synctest.Wait()
		late.hold(sidecar("b", "y"))
		late.event()
		advance(time.Second)
		if reasons := reloader.Pending(); reasons != nil || publisher.current() != 2 {
			t.Fatalf("pending are %q after %d generations", reasons, publisher.current())
		}
		if publisher.ready > 0 {
			t.Errorf("nothing was pending before publication %d times", publisher.ready)
		}
	})
}
