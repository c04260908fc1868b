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

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/watcher"
)

// bench is a reloader over fake sources, to be used in a synctest bubble.
type bench struct {
	*watcher.Reloader
	sources []watcher.Source
	shelf   *shelf
	log     *logbook
	start   time.Time

	mu      sync.Mutex
	results []bool
}

func newBench(t *testing.T, sources ...watcher.Source) *bench {
	t.Helper()
	b := &bench{sources: sources, shelf: new(shelf), log: new(logbook), start: time.Now()}
	b.Reloader = watcher.NewReloader(watcher.Options{
		Sources:   sources,
		Publisher: b.shelf,
		Log:       b.log.logger(),
		Observe: func(ok bool) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.results = append(b.results, ok)
		},
	})
	return b
}

func (b *bench) run(t *testing.T) *bench {
	t.Helper()
	background(t, b.Run)
	synctest.Wait()
	return b
}

// look has everything read again because of an event, and waits until that is done.
func (b *bench) look() {
	b.sources[0].(*fake).event()
	elapse(time.Second)
}

// reload orders everything to be read again and waits until that is done.
func (b *bench) reload() {
	b.Reload()
	synctest.Wait()
}

func (b *bench) wantServed(t *testing.T, want string) {
	t.Helper()
	if got := b.shelf.served(); got != want {
		t.Fatalf("served %q, want %q; log:\n%s", got, want, b.log)
	}
}

func (b *bench) wantResults(t *testing.T, want ...bool) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if diff := cmp.Diff(want, b.results); diff != "" {
		t.Fatalf("observed results (-want +got):\n%s", diff)
	}
}

// elapse lets the time of the bubble go on.
func elapse(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// readAfter gives when the source was read, counted from the start.
func (b *bench) readAfter(f *fake) []time.Duration {
	var all []time.Duration
	for _, at := range f.readTimes() {
		all = append(all, at.Sub(b.start))
	}
	return all
}

func (b *bench) wantReads(t *testing.T, f *fake, want ...time.Duration) {
	t.Helper()
	if diff := cmp.Diff(want, b.readAfter(f)); diff != "" {
		t.Fatalf("read at (-want +got):\n%s", diff)
	}
}

func TestABurstOfEventsIsOneReload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFake("a", sidecar("logger:v1", "first"))
		b := newBench(t, source).run(t)
		for range 5 {
			source.event()
			elapse(50 * time.Millisecond)
		}
		elapse(time.Minute)
		// The last of the events came after 200 ms.
		b.wantReads(t, source, 0, 300*time.Millisecond)
	})
}

func TestAQuietSourceIsReadOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFake("a", sidecar("logger:v1", "first"))
		b := newBench(t, source).run(t)
		elapse(time.Hour)
		b.wantReads(t, source, 0)
	})
}

func TestEndlessChurnCannotStarveAReload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFake("a", sidecar("logger:v1", "first"))
		b := newBench(t, source).run(t)
		for range 1000 {
			source.event()
			elapse(10 * time.Millisecond)
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

func TestReloadDoesNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFake("a", sidecar("logger:v1", "first"))
		b := newBench(t, source).run(t)
		elapse(time.Second)
		source.hold(sidecar("logger:v1", "second"))
		b.reload()
		b.wantServed(t, "logger:v1=second")
		b.wantReads(t, source, 0, time.Second)
	})
}

func TestReloadCutsSettlingShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFake("a", sidecar("logger:v1", "first"))
		b := newBench(t, source).run(t)
		source.event()
		elapse(20 * time.Millisecond)
		b.reload()
		elapse(time.Minute)
		b.wantReads(t, source, 0, 20*time.Millisecond)
	})
}

func TestReloadsBeforeTheFirstAreOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFake("a", sidecar("logger:v1", "first"))
		b := newBench(t, source)
		for range 10 {
			b.Reload()
		}
		b.run(t)
		b.wantReads(t, source, 0, 0)
	})
}

func TestASourceThatCannotBeReadAtStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		good, bad := newFake("good", sidecar("logger:v1", "first")), newFake("bad")
		bad.fail(errors.New("gone fishing"))
		b := newBench(t, good, bad)
		wantPending(t, b.Pending(), "fake good has not been read yet", "fake bad has not been read yet",
			"no snapshot has been published yet")
		b.run(t)
		b.wantServed(t, "logger:v1=first")
		wantPending(t, b.Pending(), "fake bad has not been read yet: gone fishing")

		bad.hold(sidecar("proxy:v1", "other"))
		b.look()
		b.wantServed(t, "logger:v1=first, proxy:v1=other")
		wantPending(t, b.Pending())
		b.wantResults(t, false, true)
	})
}

func wantPending(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("pending %q, want %q", got, want)
	}
}

func TestASourceThatCannotBeReadLaterKeepsItsDocuments(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		steady, shaky := newFake("steady", sidecar("logger:v1", "first")), newFake("shaky", sidecar("proxy:v1", "first"))
		b := newBench(t, steady, shaky).run(t)
		shaky.fail(errors.New("gone fishing"))
		steady.hold(sidecar("logger:v1", "second"))
		b.look()
		b.look()
		b.wantServed(t, "logger:v1=second, proxy:v1=first")
		wantPending(t, b.Pending())
		line := b.log.wantLines(t, "source cannot be read", 1)[0]
		if line["level"] != "error" || line["source"] != "fake shaky" || line["error"] != "gone fishing" {
			t.Fatalf("unexpected log line: %v", line)
		}

		shaky.fail(errors.New("asleep"))
		b.look()
		b.log.wantLines(t, "source cannot be read", 2)

		shaky.hold()
		b.look()
		b.look()
		b.wantServed(t, "logger:v1=second")
		b.log.wantLines(t, "source can be read", 1)
		b.wantResults(t, true, false, false, false, true, true)
	})
}

func TestWaitingForTheFirstSyncIsNoFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFake("slow")
		source.fail(watcher.ErrNotSynced)
		b := newBench(t, source).run(t)
		wantPending(t, b.Pending(), "fake slow has not been read yet: not synced yet")
		source.hold(sidecar("logger:v1", "first"))
		b.look()
		wantPending(t, b.Pending())
		b.wantResults(t, true, true)
		b.log.wantLines(t, "source cannot be read", 0)
		b.log.wantLines(t, "waiting for the source's first reading", 1)
	})
}

func TestAnUnchangedContentPublishesAndLogsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFake("a", sidecar("logger:v1", "first"), "name: [broken\n")
		b := newBench(t, source).run(t)
		before := b.log.String()
		b.look()
		source.event()
		elapse(time.Second)
		if got := b.shelf.generations(); got != 1 {
			t.Fatalf("generation %d, want 1", got)
		}
		if after := b.log.String(); after != before {
			t.Fatalf("logged without a change: %s", strings.TrimPrefix(after, before))
		}
	})
}

func TestEachSnapshotIsLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFake("a", sidecar("logger:v1", "first"), sidecar("proxy:v1", "first"))
		b := newBench(t, source).run(t)
		source.hold(sidecar("logger:v1", "second"), "name: 7\n")
		b.look()
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

func TestASnapshotSaysWhatIsNew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFake("a", sidecar("logger:v1", "first"), sidecar("proxy:v1", "first"))
		b := newBench(t, source).run(t)
		var many []string
		for i := range 25 {
			many = append(many, sidecar(fmt.Sprintf("new%02d:v1", i), "first"))
		}
		source.hold(append(many, sidecar("proxy:v1", "second"))...)
		b.look()
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

// Who sends a SIGHUP wants to know how things are, also when they are as they were.
func TestAnOrderIsAnswered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		good, bad := newFake("good", sidecar("logger:v1", "first"), "name: 7\n"), newFake("bad")
		bad.fail(errors.New("gone fishing"))
		b := newBench(t, good, bad).run(t)
		b.reload()
		b.log.wantLines(t, "reloaded: the snapshot is what it was", 1)
		b.log.wantLines(t, "document rejected", 2)
		b.log.wantLines(t, "source cannot be read", 2)
		b.log.wantLines(t, "snapshot published", 1)

		good.hold(sidecar("logger:v1", "first"))
		b.reload()
		b.log.wantLines(t, "rejection cleared", 1)
		b.log.wantLines(t, "document rejected", 2)
		b.look()
		b.log.wantLines(t, "source cannot be read", 3)
	})
}

func TestARejectionIsLoggedOnceForEachText(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFake("a", sidecar("logger:v1", "first"))
		b := newBench(t, source).run(t)
		source.hold(sidecar("logger:v1", "[7]"))
		b.look()
		b.look()
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
		b.look()
		b.log.wantLines(t, "document rejected", 2)
		b.log.wantLines(t, "rejection cleared", 0)

		source.hold(sidecar("logger:v1", "second"))
		b.look()
		b.look()
		b.wantServed(t, "logger:v1=second")
		b.log.wantLines(t, "document rejected", 2)
		if line := b.log.wantLines(t, "rejection cleared", 1)[0]; line["origin"] != "configmap a[key]" {
			t.Errorf("unexpected log line: %v", line)
		}
		b.wantResults(t, true, false, false, false, true, true)
	})
}

func TestDocumentsAreLoadedByTheRules(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFake("a", "name: logger:v1\nhostPID: true\n")
		b := newBench(t, source).run(t)
		b.wantServed(t, "")
		shelf := new(shelf)
		lax := watcher.NewReloader(watcher.Options{
			Sources: []watcher.Source{source}, Rules: conf.Consent(conf.ConfigMap), Publisher: shelf, Log: b.log.logger(),
		})
		background(t, lax.Run)
		synctest.Wait()
		if got := shelf.served(); !strings.HasPrefix(got, "logger:v1=") {
			t.Errorf("served %q, want the definition that needs power", got)
		}
	})
}

func TestARejectionOfARemovedDocumentIsCleared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFake("a", sidecar("logger:v1", "[7]"))
		b := newBench(t, source).run(t)
		b.wantServed(t, "")
		source.hold()
		b.look()
		b.log.wantLines(t, "rejection cleared", 1)
		b.wantResults(t, false, true)
	})
}

func TestASourceThatStopsEndsRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken, other := newFake("broken"), newFake("other")
		broken.stop <- errors.New("out of order")
		err := newBench(t, broken, other).Run(t.Context())
		if err == nil || err.Error() != "watching fake broken: out of order" {
			t.Fatalf("Run returned %v", err)
		}
	})
}

func TestNothingIsPublishedAfterTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		b := newBench(t, newFake("a", sidecar("logger:v1", "first")))
		if err := b.Run(ctx); err != nil {
			t.Fatal(err)
		}
		b.wantServed(t, "nothing published")
		if log := b.log.String(); log != "" {
			t.Fatalf("logged %s", log)
		}
	})
}

func TestTheObserverIsOptional(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		target := new(shelf)
		r := watcher.NewReloader(watcher.Options{Sources: []watcher.Source{newFake("a")}, Publisher: target})
		background(t, r.Run)
		synctest.Wait()
		wantPending(t, r.Pending())
	})
}

// nosy is a Publisher that looks whether anybody takes for ready what is only about to be published.
type nosy struct {
	shelf
	pending func() []string
	early   int
}

func (n *nosy) Publish(set *conf.Set) (uint64, bool) {
	if len(n.pending()) == 0 {
		n.early++
	}
	return n.shelf.Publish(set)
}

// A source that is read late is pending until what it holds is served, however long loading takes.
func TestPendingUntilPublished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		late := newFake("late")
		late.fail(watcher.ErrNotSynced)
		publisher := new(nosy)
		reloader := watcher.NewReloader(watcher.Options{
			Sources:   []watcher.Source{newFake("early", sidecar("a", "x")), late},
			Publisher: publisher, Log: new(logbook).logger(),
		})
		publisher.pending = reloader.Pending
		background(t, reloader.Run)
		synctest.Wait()
		late.hold(sidecar("b", "y"))
		late.event()
		elapse(time.Second)
		if reasons := reloader.Pending(); reasons != nil || publisher.generations() != 2 {
			t.Fatalf("pending are %q after %d generations", reasons, publisher.generations())
		}
		if publisher.early > 0 {
			t.Errorf("nothing was pending %d times before it was published", publisher.early)
		}
	})
}
