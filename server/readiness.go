package server

import (
	"io"
	"net/http"
	"strings"
)

// Check returns why a component is not ready, one line for each reason; none if it is ready. It must be safe for
// concurrent use.
type Check func() []string

// pending returns the reasons for not being ready.
func (s *Server) pending() (reasons []string) {
	if s.draining.Load() {
		return []string{"shutting down"}
	}
	for _, check := range s.options.Checks {
		reasons = append(reasons, check()...)
	}
	return reasons
}

// serveReady responds with 200, or with 503 and the reasons.
func (s *Server) serveReady(w http.ResponseWriter, _ *http.Request) {
	reasons := s.pending()
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
