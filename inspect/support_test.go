package inspect_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/client-go/rest"

	"k8s-sidecar-injector/inspect"
)

// newClient returns a client of an API server with a response for each path and query.
func newClient(t *testing.T, responses map[string]string) *inspect.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		query := r.URL.Query()
		query.Del("timeout")
		r.URL.RawQuery = query.Encode()
		text, found := responses[r.URL.RequestURI()]
		switch {
		case !found:
			w.WriteHeader(http.StatusNotFound)
			text = `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404, ` +
				`"message": "no response for ` + r.URL.RequestURI() + `"}`
		case text == forbidden:
			w.WriteHeader(http.StatusForbidden)
		case text == expired:
			w.WriteHeader(http.StatusGone)
		}
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(server.Close)
	client, err := inspect.NewClient(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

const (
	forbidden = `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403, ` +
		`"message": "user may not"}`
	expired = `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410, ` +
		`"message": "too old", "metadata": {"continue": "newer"}}`
)
