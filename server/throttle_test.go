package server_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/server"
)

// A flood of refused requests leaves a few lines a second and the number of those suppressed. The
// metric counts all.
func TestRefusalsAreThrottled(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{"no review": "{", "bad review": create(`{"spec":"text"}`)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				i := newInjector(t, policy())
				const requests = 1000
				for range requests {
					review(t, i, body)
				}
				time.Sleep(2 * time.Second)
				expectThrottled(t, i.log, requests, 20)
				got := counts(map[mutate.Verdict]int{{Outcome: mutate.Denied, Reason: mutate.ReasonBadReview}: requests})
				expectMetrics(t, i.registry, got, "sidecar_injector_reviews_total")
			})
		})
	}
}

// The same holds for what net/http logs.
func TestErrorLogIsThrottled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := new(lines)
		w := server.NewErrorLog(zerolog.New(log).Level(zerolog.InfoLevel))
		const lines = 1000
		for range lines {
			_, _ = w.Write([]byte("http: TLS handshake error from 127.0.0.1:1: client sent an HTTP request to an HTTPS server\n"))
			_, _ = w.Write([]byte("http: TLS handshake error from 127.0.0.1:1: EOF\n")) // at debug level
		}
		time.Sleep(2 * time.Second)
		expectThrottled(t, log, lines, 20)
		_, _ = w.Write([]byte("http: panic serving 127.0.0.1:1: boom\n"))
		if !strings.Contains(log.String(), "boom") {
			t.Error("a panic was suppressed")
		}
	})
}

// The lines about reviews that were answered are limited as well, at a higher rate. The metrics count all.
func TestReviewLinesAreThrottled(t *testing.T) {
	t.Parallel()
	const requests = 3000
	t.Run("pods", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			i := newInjector(t, policy())
			for range requests {
				review(t, i, create(asking("unknown:v1", "app")))
			}
			time.Sleep(2 * time.Second)
			expectThrottled(t, i.log, requests, 1500)
			got := counts(map[mutate.Verdict]int{{Outcome: mutate.Skipped, Reason: mutate.ReasonUnknownSidecar}: requests})
			expectMetrics(t, i.registry, got, "sidecar_injector_reviews_total")
		})
	})
	t.Run("definitions", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			v := newValidator(t)
			wrong := labelled("wrong", "injector", "name: wrong\nx: 1\n") // is allowed, with a warning
			for range requests {
				review(t, v, changing("UPDATE", "wrong", wrong, wrong))
			}
			time.Sleep(2 * time.Second)
			expectThrottled(t, v.log, requests, 1500)
		})
	})
}

// expectThrottled wants some lines, and then one that counts the rest.
func expectThrottled(t *testing.T, log *lines, all, most int) {
	t.Helper()
	events := log.events(t)
	last := events[len(events)-1]
	if want := float64(all - len(events) + 1); len(events) > most || last["suppressed"] != want || last["level"] != "warn" {
		t.Errorf("of %d lines, %d were logged, and then %v", all, len(events)-1, last)
	}
}

// A sidecar that is not served any more has no counter of injections, and starts again if it comes back.
func TestInjectionsOfRemovedSidecars(t *testing.T) {
	t.Parallel()
	i := newInjector(t, policy())
	injections := func(body string) {
		t.Helper()
		expectMetrics(t, i.registry, body, "sidecar_injector_injections_total")
	}
	const head = `# HELP sidecar_injector_injections_total Pods that a sidecar was injected into, by sidecar.
# TYPE sidecar_injector_injections_total counter
`
	inject := func() {
		t.Helper()
		if w := review(t, i, create(asking("logger:v1", "app"))); w.Code != http.StatusOK {
			t.Fatal(w.Body)
		}
	}
	inject()
	inject()
	injections(head + `sidecar_injector_injections_total{sidecar="logger:v1"} 2` + "\n")
	serve(t, i.snapshots, "name: logger:v2\n")
	injections("")
	serve(t, i.snapshots, sidecars)
	injections("")
	inject()
	injections(head + `sidecar_injector_injections_total{sidecar="logger:v1"} 1` + "\n")
}
