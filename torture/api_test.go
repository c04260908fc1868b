//go:build torture

package torture_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

type fault struct {
	name   string
	answer func(w http.ResponseWriter, r *http.Request) bool
	short  bool // also runs with -short
}

// answers returns a fault that responds to each request with a status code and a body.
func answers(code int, body string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
		return true
	}
}

// status returns a fault that responds to each request with an API error.
func status(code int, reason string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Retry-After", "1")
		writeStatus(w, code, reason)
		return true
	}
}

// onWatch limits a fault to watches.
func onWatch(fault func(http.ResponseWriter, *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		return r.URL.Query().Get("watch") != "" && fault(w, r)
	}
}

// hang sends no response and returns when the client disconnects.
func hang(_ http.ResponseWriter, r *http.Request) bool {
	<-r.Context().Done()
	return true
}

// hangInBody sends half a response, then hangs.
func hangInBody(w http.ResponseWriter, r *http.Request) bool {
	_, _ = w.Write([]byte(`{"kind":"ConfigMapList","apiVersion":"v1","items":[`))
	_ = http.NewResponseController(w).Flush()
	return hang(w, r)
}

// reset closes the connection without a response.
func reset(w http.ResponseWriter, _ *http.Request) bool {
	c, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
	return true
}

func faults() []fault {
	const list = `{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"9"},"items":`
	return []fault{
		{"hang", hang, true},
		{"hang in body", hangInBody, false},
		{"reset", reset, true},
		{"401", status(http.StatusUnauthorized, "Unauthorized"), true},
		{"403", status(http.StatusForbidden, "Forbidden"), false},
		{"404", status(http.StatusNotFound, "NotFound"), false},
		{"410", status(http.StatusGone, "Expired"), true},
		{"429", status(http.StatusTooManyRequests, "TooManyRequests"), false},
		{"500", status(http.StatusInternalServerError, "InternalError"), false},
		{"503", answers(http.StatusServiceUnavailable, "<html>busy</html>"), false},
		{"HTML", answers(http.StatusOK, "<html>welcome</html>"), false},
		{"no body", answers(http.StatusOK, ""), false},
		{"empty object", answers(http.StatusOK, "{}"), true},
		{"truncated", answers(http.StatusOK, list+`[{"meta`), false},
		{
			"other kind",
			answers(http.StatusOK, `{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"9"},"items":[]}`),
			false,
		},
		{"null items", answers(http.StatusOK, list+`[null]}`), false},
		{"redirect", func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, r.URL.String(), http.StatusFound)
			return true
		}, false},
		{"watch closes", onWatch(answers(http.StatusOK, "")), false},
		{"watch garbage", onWatch(answers(http.StatusOK, "garbage\n")), true},
		{
			"watch error",
			onWatch(answers(http.StatusOK, `{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1",`+
				`"status":"Failure","reason":"Expired","code":410}}`+"\n")),
			false,
		},
		{
			"watch other kind",
			onWatch(answers(http.StatusOK, `{"type":"ADDED","object":{"kind":"Pod","apiVersion":"v1",`+
				`"metadata":{"name":"x"}}}`+"\n")),
			false,
		},
		{"watch null", onWatch(answers(http.StatusOK, `{"type":"ADDED","object":null}`+"\n")), false},
		{"watch endless line", onWatch(func(w http.ResponseWriter, _ *http.Request) bool {
			piece := []byte(strings.Repeat("x", 1<<20))
			for range 64 {
				if _, err := w.Write(piece); err != nil {
					break
				}
			}
			return true
		}), false},
	}
}

// TestFaults checks that the last valid definitions stay in service while the API server is faulty, and that
// edits are served after it recovers. The faults run in parallel, each with its own injector.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			if testing.Short() && !f.short {
				t.Skip("skipped with -short")
			}
			t.Parallel()
			testFault(t, f)
		})
	}
}

func testFault(t *testing.T, f fault) {
	t.Helper()
	const recovery = 60 * time.Second
	api := newAPIServer(t)
	api.apply("other", definition("other:v1", "other:1"))
	i := start(t, options{flags: api.flags(t)})
	i.expect(t, patience, "other:v1", "other:1")
	var hit atomic.Int64
	api.breakDown(func(w http.ResponseWriter, r *http.Request) bool {
		hit.Add(1)
		return f.answer(w, r)
	})
	attempts := int64(sized(2, 1))
	i.await(t, "attempts", 2*patience, func() bool { return hit.Load() >= attempts })
	i.expect(t, time.Second, "other:v1", "other:1")
	if !i.ready() {
		t.Error("/readyz fails during the fault")
	}
	api.heal()
	api.server.CloseClientConnections()
	api.apply("other", definition("other:v1", "other:2"))
	begin := time.Now()
	i.expect(t, recovery, "other:v1", "other:2")
	i.note = fmt.Sprintf("edit served after %.1f s", time.Since(begin).Seconds())
	i.requests = int(hit.Load())
}

// TestShortWatches checks that edits are served promptly although every watch ends after 100 ms, as behind
// some proxies.
func TestShortWatches(t *testing.T) {
	api := newAPIServer(t)
	i := start(t, options{flags: api.flags(t)})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				api.endWatches()
			case <-ctx.Done():
				return
			}
		}
	}()
	edits := sized(12, 5)
	i.under(t, func(context.Context) int {
		for n := range edits {
			api.apply("other", definition("other:v1", fmt.Sprintf("other:%d", n)))
			i.expect(t, 5*time.Second, "other:v1", fmt.Sprintf("other:%d", n))
		}
		return edits
	})
	i.await(t, "a log line about the watches", 30*time.Second, func() bool { return i.warned("watch") })
}

// TestExpiredLists checks that lists that fail with 410 are retried.
func TestExpiredLists(t *testing.T) {
	api := newAPIServer(t)
	api.apply("other", definition("other:v1", "other:1"))
	var left atomic.Int64
	left.Store(5)
	fault := func(w http.ResponseWriter, _ *http.Request) bool {
		if left.Add(-1) < 0 {
			return false
		}
		writeStatus(w, http.StatusGone, "Expired")
		return true
	}
	api.breakDown(fault)
	i := launch(t, options{flags: api.flags(t)})
	i.listen(t)
	i.await(t, "readiness", patience, i.ready)
	i.expect(t, patience, "other:v1", "other:1")
	i.await(t, "a log line about the lists", patience, func() bool { return i.warned("list") })
}

// TestHungList checks that an initial list that hangs is canceled and retried. Until a list succeeds, the
// injector is not ready, but it ends on SIGTERM.
func TestHungList(t *testing.T) {
	t.Parallel()
	api := newAPIServer(t)
	api.breakDown(hang)
	i := launch(t, options{flags: api.flags(t)})
	i.listen(t)
	i.await(t, "a list", patience, func() bool { return api.lists.Load() > 0 })
	if i.ready() {
		t.Error("ready before the first list")
	}
	if testing.Short() {
		i.terminate(t, 5*time.Second)
		return
	}
	i.await(t, "another list", 2*patience, func() bool { return api.lists.Load() > 1 })
	api.heal()
	i.await(t, "readiness", 3*patience, i.ready)
	i.terminate(t, 5*time.Second)
}

// TestHungSecrets checks that an initial list of Secrets that hangs is canceled, retried and logged.
func TestHungSecrets(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped with -short")
	}
	t.Parallel()
	api := newAPIServer(t)
	var secrets atomic.Int64
	api.breakDown(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/secrets") {
			secrets.Add(1)
		}
		return hang(w, r)
	})
	i := launch(t, options{flags: api.flags(t), selfManaged: true})
	i.listen(t)
	i.await(t, "two lists", 3*patience, func() bool { return secrets.Load() >= 2 })
	i.await(t, "a log line about the certificates", patience, func() bool { return i.warned("certificates") })
	i.terminate(t, 5*time.Second)
}

// TestUpdates updates ConfigMaps in quick succession.
func TestUpdates(t *testing.T) {
	api := newAPIServer(t)
	i := start(t, options{flags: api.flags(t)})
	updates := sized(1000, 300)
	i.under(t, func(context.Context) int {
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for n := range updates {
			api.apply(fmt.Sprintf("other%d", n%50), definition(fmt.Sprintf("other%d:v1", n%50), fmt.Sprintf("other:%d", n)))
			<-ticker.C
		}
		last := updates - 1
		i.expect(t, patience, fmt.Sprintf("other%d:v1", last%50), fmt.Sprintf("other:%d", last))
		return updates
	})
	i.signal(t, syscall.SIGHUP)
	i.terminate(t, 5*time.Second)
}
