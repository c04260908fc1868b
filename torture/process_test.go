//go:build torture

package torture_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	// drainDelay is the duration for which reviews are served after SIGTERM in these scenarios.
	drainDelay = 2 * time.Second
	// shutdownGrace is the time limit for requests in flight after drainDelay.
	shutdownGrace = 15 * time.Second
)

// TestStalledLog checks that a stalled reader of the log delays neither reviews nor shutdown.
func TestStalledLog(t *testing.T) {
	i := start(t, options{stalled: true, flags: []string{"--log-level=debug"}})
	client := i.hostile(t, true)
	i.underFor(t, 20*time.Second, func(ctx context.Context) int {
		const count = 3000 // a pipe buffers a few hundred lines
		var sent atomic.Int64
		repeatUntil, cancel := context.WithCancel(ctx)
		defer cancel()
		repeat(repeatUntil, 8, func(ctx context.Context) {
			_, _, _ = i.post(ctx, client, "/mutate?timeout=10s", podReview(refLogger, "", honestPod))
			if sent.Add(1) >= count {
				cancel()
			}
		})
		return int(sent.Load())
	})
	i.terminate(t, 10*time.Second)
}

// TestTerminate sends SIGTERM under each kind of load. Readiness must fail at once, reviews must be served
// for drainDelay, and the process must exit with code 0 within shutdownGrace.
func TestTerminate(t *testing.T) {
	t.Parallel()
	for name, load := range map[string]func(ctx context.Context, i *injector){
		"honest": func(ctx context.Context, _ *injector) { <-ctx.Done() },
		"amplification": func(ctx context.Context, i *injector) {
			client := &http.Client{Transport: i.transport(i.hostileAddress(), true)}
			body := grown()
			repeat(ctx, 4, func(ctx context.Context) { _, _, _ = i.post(ctx, client, "/mutate?timeout=30s", body) })
		},
		"stalled bodies": func(ctx context.Context, i *injector) {
			filler := strings.Repeat(" ", 3<<20)
			repeat(ctx, 4, func(ctx context.Context) { i.stall(ctx, "h2", filler, time.Minute) })
		},
		"rapid reset": func(ctx context.Context, i *injector) {
			repeat(ctx, 4, func(ctx context.Context) {
				c := i.frames(ctx)
				for c.rapidReset() == nil {
					continue
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name != "stalled bodies" {
				t.Skip("skipped with -short")
			}
			t.Parallel()
			testTerminate(t, load)
		})
	}
}

func testTerminate(t *testing.T, load func(ctx context.Context, i *injector)) {
	t.Helper()
	i := start(t, options{flags: []string{"--drain-delay=" + drainDelay.String()}})
	loading, stop := context.WithCancel(t.Context())
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		load(loading, i)
	}()
	var answered, asked, terminated atomic.Int64
	honest := make(chan struct{})
	go func() {
		defer close(honest)
		parallel(honestClients, func(int) {
			client := i.honest(t)
			for !i.ended() {
				_, err := i.image(t.Context(), client, refLogger)
				since := time.Duration(time.Now().UnixNano() - terminated.Load())
				if err != nil && terminated.Load() > 0 && since >= drainDelay {
					return // the port is closed
				}
				asked.Add(1)
				if err == nil {
					answered.Add(1)
				} else {
					t.Errorf("honest review failed: %v", err)
				}
			}
		})
	}()
	i.await(t, "some reviews", patience, func() bool { return asked.Load() > 500 || t.Failed() })
	terminated.Store(time.Now().UnixNano())
	i.signal(t, syscall.SIGTERM)
	i.await(t, "/readyz to fail", time.Second, func() bool { return !i.ready() })
	select {
	case <-i.done:
		if i.err != nil {
			t.Errorf("the process ended with an error after SIGTERM: %v", i.err)
		}
	case <-time.After(drainDelay + shutdownGrace + 2*time.Second):
		t.Error("the process still runs after the shutdown grace")
	}
	i.note = fmt.Sprintf("ended after %.1f s", time.Since(time.Unix(0, terminated.Load())).Seconds())
	stop()
	<-loaded
	<-honest
	i.answered, i.asked = int(answered.Load()), int(asked.Load())
}
