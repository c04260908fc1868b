package server

import (
	"io"
	"net/http"
	"strings"
)

// Check returns why a component is not ready, one line for each reason; none if it is ready. It must be safe for
// concurrent use.
type Check func() []string

// serveReady responds with 200, or with 503 and the reasons.
func (s *Server) serveReady(w http.ResponseWriter, _ *http.Request) {
	var reasons []string
	if s.draining.Load() {
		reasons = []string{"shutting down"}
	} else {
		for _, check := range s.options.Checks {
			reasons = append(reasons, check()...)
		}
	}
	if len(reasons) > 0 {
		http.Error(w, "not ready:\n"+strings.Join(reasons, "\n"), http.StatusServiceUnavailable)
		return
	}
	serveHealth(w, nil)
}

// serveHealth responds with 200.
func serveHealth(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok\n")
}
