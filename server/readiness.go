package server

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
)

// Check tells what something still waits for, a line each; none means that it is ready. It
// must be safe for concurrent use.
type Check func() []string

// readiness answers /readyz.
type readiness struct {
	checks   []Check
	draining atomic.Bool
}

// reasons are why no review should be sent here now.
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

// ServeHTTP answers 200, or 503 with the reasons.
func (r *readiness) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if reasons := r.reasons(); len(reasons) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "not ready:\n"+strings.Join(reasons, "\n")+"\n")
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}

// healthy answers 200 while the process lives.
func healthy(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok\n")
}
