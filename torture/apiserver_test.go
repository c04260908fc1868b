//go:build torture

package torture_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// sidecars is the namespace of the ConfigMaps.
const sidecars = "sidecars"

// apiServer serves lists and watches of the ConfigMaps in one namespace. Tests can inject a fault.
type apiServer struct {
	server *httptest.Server
	// fault, if set, handles requests instead of the server. It returns false to pass a request on
	// to the server.
	fault   atomic.Pointer[func(w http.ResponseWriter, r *http.Request) bool]
	lists   atomic.Int64
	watches atomic.Int64

	mutex   sync.Mutex
	events  []event
	current map[string]configMap
	changed chan struct{} // closed and replaced by wake
	ends    int           // the number of calls of endWatches
}

type event struct {
	Type   string    `json:"type"`
	Object configMap `json:"object"`
}

type configMap struct {
	Kind       string            `json:"kind"`
	APIVersion string            `json:"apiVersion"`
	Metadata   metadata          `json:"metadata"`
	Data       map[string]string `json:"data"`
}

type metadata struct {
	Name              string            `json:"name"`
	Namespace         string            `json:"namespace"`
	UID               string            `json:"uid"`
	ResourceVersion   string            `json:"resourceVersion"`
	CreationTimestamp string            `json:"creationTimestamp"`
	Labels            map[string]string `json:"labels"`
}

// newConfigMap returns a ConfigMap with the label that the injector selects.
func newConfigMap(name, definition string) configMap {
	return configMap{
		Kind: "ConfigMap", APIVersion: "v1", Data: map[string]string{"sidecar.yaml": definition},
		Metadata: metadata{
			Name: name, Namespace: sidecars, UID: name, CreationTimestamp: "2026-01-01T00:00:00Z",
			Labels: map[string]string{"app": "torture"},
		},
	}
}

func newAPIServer(t *testing.T) *apiServer {
	t.Helper()
	a := &apiServer{current: make(map[string]configMap), changed: make(chan struct{})}
	a.server = httptest.NewServer(a)
	t.Cleanup(func() {
		a.server.CloseClientConnections()
		a.server.Close()
	})
	return a
}

// flags returns the flags of an injector that watches this server.
func (a *apiServer) flags(t *testing.T) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, os.WriteFile(file, fmt.Appendf(nil, `{apiVersion: v1, kind: Config, current-context: c,
clusters: [{name: c, cluster: {server: %q}}], users: [{name: c, user: {token: t}}],
contexts: [{name: c, context: {cluster: c, user: c}}]}`, a.server.URL), 0o600))
	return []string{"--configmap-labels=app=torture", "--configmap-namespace=" + sidecars, "--kubeconfig=" + file}
}

// apply creates or updates a ConfigMap with one definition.
func (a *apiServer) apply(name, definition string) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	kind := "MODIFIED"
	if _, found := a.current[name]; !found {
		kind = "ADDED"
	}
	object := newConfigMap(name, definition)
	object.Metadata.ResourceVersion = strconv.Itoa(len(a.events) + 1)
	a.current[name] = object
	a.events = append(a.events, event{kind, object})
	a.wake()
}

// endWatches ends all open watches.
func (a *apiServer) endWatches() {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.ends++
	a.wake()
}

// wake wakes all watches. The caller must hold the mutex.
func (a *apiServer) wake() {
	close(a.changed)
	a.changed = make(chan struct{})
}

// breakDown ends all watches and injects a fault until heal is called.
func (a *apiServer) breakDown(fault func(w http.ResponseWriter, r *http.Request) bool) {
	a.fault.Store(&fault)
	a.endWatches()
}

func (a *apiServer) heal() { a.fault.Store(nil) }

// ServeHTTP implements http.Handler.
func (a *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	watching := r.URL.Query().Get("watch") != ""
	if watching {
		a.watches.Add(1)
	} else {
		a.lists.Add(1)
	}
	if fault := a.fault.Load(); fault != nil && (*fault)(w, r) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.Method != http.MethodGet || r.URL.Path != "/api/v1/namespaces/"+sidecars+"/configmaps":
		writeStatus(w, http.StatusNotFound, "NotFound")
	case watching:
		a.watch(w, r)
	default:
		a.list(w)
	}
}

func (a *apiServer) list(w http.ResponseWriter) {
	a.mutex.Lock()
	items := make([]configMap, 0, len(a.current))
	for _, object := range a.current {
		items = append(items, object)
	}
	version := strconv.Itoa(len(a.events) + 1) // never 0
	a.mutex.Unlock()
	_ = json.NewEncoder(w).Encode(map[string]any{
		"kind":       "ConfigMapList",
		"apiVersion": "v1",
		"metadata":   map[string]string{"resourceVersion": version},
		"items":      items,
	})
}

// watch sends the events after a version until the client disconnects.
func (a *apiServer) watch(w http.ResponseWriter, r *http.Request) {
	version, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	next := max(version-1, 0)
	control := http.NewResponseController(w)
	encoder := json.NewEncoder(w)
	a.mutex.Lock()
	ends := a.ends
	a.mutex.Unlock()
	for _ = control.Flush(); ; _ = control.Flush() {
		a.mutex.Lock()
		events, changed, ended := a.events[min(next, len(a.events)):], a.changed, a.ends != ends
		a.mutex.Unlock()
		if ended {
			return
		}
		for _, event := range events {
			next++
			if encoder.Encode(event) != nil {
				return
			}
		}
		if len(events) > 0 {
			continue
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

// writeStatus writes an error as the API server does.
func writeStatus(w http.ResponseWriter, code int, reason string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure",`+
		`"reason":%q,"message":"torture","code":%d}`+"\n", reason, code)
}

// configMapReview returns the review of the creation of a ConfigMap.
func configMapReview(t *testing.T, name, definition string) string {
	t.Helper()
	object, err := json.Marshal(newConfigMap(name, definition))
	must(t, err)
	return `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1",` +
		`"request":{"uid":"u","namespace":"` + sidecars + `",` +
		`"resource":{"version":"v1","resource":"configmaps"},"operation":"CREATE","object":` + string(object) + `}}`
}
