package server_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s-sidecar-injector/server"
)

// Only clients on this machine reach a local handler, also if the lifecycle port is open to others.
func TestLocalHandlers(t *testing.T) {
	t.Parallel()
	local := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "local") })
	for address, code := range map[string]int{
		"127.0.0.1:1": 200, "[::1]:1": 200, "[::ffff:127.0.0.1]:1": 200,
		"10.0.0.1:1": 403, "[fe80::1%eth0]:1": 403, "[::ffff:10.0.0.1]:1": 403, "": 403,
	} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/local", nil)
		r.RemoteAddr = address
		if server.LocalOnly(local).ServeHTTP(w, r); w.Code != code {
			t.Errorf("%q: got %d, want %d", address, w.Code, code)
		}
	}

	l := start(t, func(o *server.Options) {
		o.LocalHandlers = map[string]http.Handler{"GET /local": local}
	}, nil)
	for method, want := range map[string]int{http.MethodGet: 200, http.MethodPost: 405} {
		request, err := http.NewRequestWithContext(t.Context(), method, l.lifecycle+"/local", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s: got %d, want %d", method, response.StatusCode, want)
		}
	}
}
