package server_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/server"
)

// A flood of refused requests causes a few log lines per second and one with the number of the others. The
// metric counts all.
func TestRefusalsAreThrottled(t *testing.T) {
	t.Parallel()
	for kind, body := range map[string]string{
		"refused requests, cause not_a_review": "{", "bad reviews": podReview(`{"spec":"text"}`),
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				i := newInjector(t, policy())
				const requests = 1000
				for range requests {
					review(t, i, body)
				}
				time.Sleep(2 * time.Second)
				expectThrottled(t, i.log, kind, requests, 20)
				got := reviewCounts(map[mutate.Verdict]int{{
					Outcome: mutate.Denied,
					Reason:  mutate.ReasonBadReview,
				}: requests})
				expectMetrics(t, i.registry, got, "sidecar_injector_reviews_total")
			})
		})
	}
}

// The lines of net/http are throttled in the same way.
func TestErrorLogIsThrottled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := new(lines)
		w := server.NewErrorLog(zerolog.New(log).Level(zerolog.InfoLevel))
		const lines = 1000
		for range lines {
			_, _ = w.Write([]byte("http: TLS handshake error from 127.0.0.1:1: client sent an HTTP request to an " +
				"HTTPS server\n"))
			_, _ = w.Write([]byte("http: TLS handshake error from 127.0.0.1:1: EOF\n")) // at debug level
		}
		time.Sleep(2 * time.Second)
		expectThrottled(t, log, "failed TLS handshakes", lines, 20)
		_, _ = w.Write([]byte("http: panic serving 127.0.0.1:1: boom\n"))
		if !strings.Contains(log.String(), "boom") {
			t.Error("a panic was suppressed")
		}
	})
}

// Log lines about reviews are limited at a higher rate. The metrics count all.
func TestReviewLinesAreThrottled(t *testing.T) {
	t.Parallel()
	const requests = 3000
	t.Run("pods", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			i := newInjector(t, policy())
			for range requests {
				review(t, i, podReview(podRequesting("unknown:v1", "app")))
			}
			time.Sleep(2 * time.Second)
			expectThrottled(t, i.log, "reviews", requests, 1500)
			verdict := mutate.Verdict{Outcome: mutate.Skipped, Reason: mutate.ReasonUnknownSidecar}
			got := reviewCounts(map[mutate.Verdict]int{verdict: requests})
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
			expectThrottled(t, v.log, "reviews", requests, 1500)
		})
	})
}

// expectThrottled checks that some lines were logged and that the last one has the number of the others.
func expectThrottled(t *testing.T, log *lines, kind string, all, most int) {
	t.Helper()
	events := log.events(t)
	last := events[len(events)-1]
	want := map[string]any{
		"level": "warn", "message": "log lines were suppressed", "kind": kind,
		"suppressed": float64(all - len(events) + 1),
	}
	if len(events) > most || !cmp.Equal(last, want) {
		t.Errorf("of %d lines, %d were logged, and then %v", all, len(events)-1, last)
	}
}

// A sidecar that is no longer served has no counter of injections. It starts at 0 if it is served again.
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
		if w := review(t, i, podReview(podRequesting("logger:v1", "app"))); w.Code != http.StatusOK {
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
