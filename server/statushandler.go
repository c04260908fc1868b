package server

import (
	_ "embed"
	"encoding/json"
	"io"
	"iter"
	"maps"
	"net/http"

	"github.com/a-h/templ"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/store"
)

// statusCost is the memory of a response of the status page or its API, in bytes.
const statusCost = 512 << 10

// contentPolicy is the Content-Security-Policy of all responses: a page has no script and loads only its stylesheet.
const contentPolicy = "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; " +
	"frame-ancestors 'none'"

// stylesheet is that of all pages.
//
//go:embed status.css
var stylesheet string

// handlers returns the handlers by ServeMux pattern.
func (r *statusReader) handlers() map[string]http.Handler {
	handlers := map[string]http.Handler{
		"GET /{$}":             http.HandlerFunc(r.serveStatusPage),
		"GET /sidecars/{ref}":  http.HandlerFunc(r.serveSidecarPage),
		"GET /status.css":      http.HandlerFunc(serveStylesheet),
		"GET /api/v1/status":   http.HandlerFunc(r.serveStatus),
		"GET /api/v1/sidecars": http.HandlerFunc(r.serveSidecars),
	}
	maps.Copy(handlers, r.playgroundHandlers())
	for pattern, handler := range handlers {
		handlers[pattern] = r.secured(handler)
	}
	return handlers
}

// secured sets headers that keep a response out of caches, frames and scripts. It waits while maxRendering others are
// rendered.
func (r *statusReader) secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", contentPolicy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cache-Control", "no-store")
		select {
		case r.rendering <- struct{}{}:
			defer func() { <-r.rendering }()
			next.ServeHTTP(w, request)
		case <-request.Context().Done():
		}
	})
}

// serveStatus responds with the status as JSON.
func (r *statusReader) serveStatus(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(r.status(r.Snapshots.Current()))
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

// serveStatusPage responds with the status as a page. The query refresh=off keeps the browser from loading it again.
func (r *statusReader) serveStatusPage(w http.ResponseWriter, request *http.Request) {
	snapshot := r.Snapshots.Current()
	view := &statusView{
		injectorStatus: r.status(snapshot), rows: r.sidecars(snapshot), refresh: refreshSeconds,
		playground: r.Playground != nil,
	}
	if request.URL.Query().Get("refresh") == "off" {
		view.refresh = ""
	}
	render(w, request, http.StatusOK, statusPage(view))
}

// serveSidecarPage responds with the page of a sidecar.
func (r *statusReader) serveSidecarPage(w http.ResponseWriter, request *http.Request) {
	text := request.PathValue("ref")
	ref, err := conf.ParseRef(text)
	sidecar := r.Snapshots.Current().Sidecar(ref)
	if err != nil || sidecar == nil {
		render(w, request, http.StatusNotFound, notFound(text))
		return
	}
	view, err := newSidecarView(r.listed(sidecar), sidecar.Definition())
	if err != nil {
		http.Error(w, "the definition cannot be encoded", http.StatusInternalServerError)
		return
	}
	render(w, request, http.StatusOK, sidecarPage(view))
}

// render sends a page while it is rendered.
func render(w http.ResponseWriter, request *http.Request, code int, page templ.Component) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_ = page.Render(request.Context(), w) // fails if the client has gone
}

func serveStylesheet(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	_, _ = io.WriteString(w, stylesheet)
}
