package server

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
)

// Check returns what a component still waits for, one line each. No lines mean that it is ready. It must
// be safe for concurrent use.
type Check func() []string

// readiness serves /readyz.
type readiness struct {
	checks   []Check
	draining atomic.Bool
}

// reasons returns why the server is not ready, or nil.
func (r *readiness) reasons() []string {
	if r.draining.Load() {
		return []string{"shutting down"}
	}
	var reasons []string
	for _, check := range r.checks {
		reasons = append(reasons, check()...)
	}
	return reasons
}

// ServeHTTP responds with 200, or with 503 and the reasons.
func (r *readiness) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if reasons := r.reasons(); len(reasons) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "not ready:\n"+strings.Join(reasons, "\n")+"\n")
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}

// serveHealth responds with 200.
func serveHealth(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok\n")
}
