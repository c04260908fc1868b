package server

import (
	"encoding/json"
	"io"
	"iter"
	"net/http"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/store"
)

// statusCost is the memory of a response of the status page or its API, in bytes.
const statusCost = 512 << 10

// contentPolicy is the Content-Security-Policy of all responses: a page has no script and loads only its stylesheet.
const contentPolicy = "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; " +
	"frame-ancestors 'none'"

// handlers returns the handlers by ServeMux pattern.
func (r *statusReader) handlers() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"GET /api/v1/status":   r.serveStatus,
		"GET /api/v1/sidecars": r.serveSidecars,
	}
}

// secured sets headers that keep a response out of caches, frames and scripts.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", contentPolicy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// serveStatus responds with the status as JSON.
func (r *statusReader) serveStatus(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(r.status())
}

// serveSidecars responds with the listing of all sidecars and rejections as JSON. It holds only one of them at a time.
func (r *statusReader) serveSidecars(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	snapshot := r.Snapshots.Current()
	_, _ = io.WriteString(w, `{"items":[`)
	writeAll(w, r.sidecars(snapshot))
	_, _ = io.WriteString(w, `],"rejections":[`)
	writeAll(w, rejections(snapshot))
	_, _ = io.WriteString(w, "]}\n")
}

// writeAll writes JSON values with commas between them. It stops if the client has gone.
func writeAll[T any](w io.Writer, values iter.Seq[T]) {
	encoder := json.NewEncoder(w)
	separator := "\n"
	for value := range values {
		_, _ = io.WriteString(w, separator)
		if encoder.Encode(value) != nil {
			return
		}
		separator = ","
	}
}

// sidecars yields descriptions of the sidecars of a snapshot, by ref.
func (r *statusReader) sidecars(snapshot *store.Snapshot) iter.Seq[listedSidecar] {
	return func(yield func(listedSidecar) bool) {
		for sidecar := range snapshot.Sidecars() {
			if !yield(r.listed(sidecar)) {
				return
			}
		}
	}
}

// rejections yields descriptions of the rejections of a snapshot, by origin.
func rejections(snapshot *store.Snapshot) iter.Seq[conf.ListedRejection] {
	return func(yield func(conf.ListedRejection) bool) {
		for rejection := range snapshot.Rejections() {
			if !yield(rejection.Listed()) {
				return
			}
		}
	}
}
