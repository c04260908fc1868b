package cli_test

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// checkServer is an API server with the other requests of the command check: the version, access reviews, a pod as a
// dry run, and the metrics of pods.
type checkServer struct {
	apiServer
	version string
	skew    time.Duration
	// denied are verbs, or verbs and resources such as `list configmaps`, that access reviews deny.
	denied []string
	// metrics are those of pods, by name.
	metrics map[string]string
	// pending are the reasons why pods are not ready, by name.
	pending map[string][]string
	// sidecars is the response of pods to /api/v1/sidecars, by name.
	sidecars map[string]string
	// trial responds to the creation of a pod. By default, the webhook warns.
	trial http.HandlerFunc
	// noPolicies removes ValidatingAdmissionPolicy from the API.
	noPolicies bool
	// missing is a resource whose API is not served.
	missing string
}

func (s *checkServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	pod, isMetrics := strings.CutSuffix(r.URL.Path, "/proxy/metrics")
	replica, isSidecars := strings.CutSuffix(r.URL.Path, "/proxy/api/v1/sidecars")
	notReady, isStatus := strings.CutSuffix(r.URL.Path, "/proxy/api/v1/status")
	switch {
	case s.missing != "" && strings.HasSuffix(r.URL.Path, "/"+s.missing):
		w.Header().Set("Content-Type", "text/plain")
		http.NotFound(w, r)
	case r.URL.Path == "/version":
		w.Header().Set("Date", time.Now().Add(s.skew).UTC().Format(http.TimeFormat))
		_ = json.NewEncoder(w).Encode(map[string]string{"gitVersion": s.version})
	case r.URL.Path == "/apis":
		serveGroups(w, r)
	case r.URL.Path == "/apis/admissionregistration.k8s.io/v1":
		s.serveGroup(w)
	case isStatus:
		_ = json.NewEncoder(w).Encode(map[string]any{"pending": s.pending[notReady[strings.LastIndex(notReady, "/")+1:]]})
	case (isMetrics || isSidecars) && slices.Contains(s.forbidden, "pods/proxy"):
		forbid(w, "pods/proxy")
	case isMetrics:
		servePod(w, s.metrics, pod)
	case isSidecars:
		servePod(w, s.sidecars, replica)
	case r.Method == http.MethodPost:
		s.create(w, r)
	default:
		s.apiServer.ServeHTTP(w, r)
	}
}

func forbid(w http.ResponseWriter, what string) {
	fail(w, metav1.Status{
		Reason: metav1.StatusReasonForbidden, Code: http.StatusForbidden,
		Message: what + ` is forbidden: User "u" may not`,
	})
}

// serveGroups responds with a group of custom kinds.
func serveGroups(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.Header.Get("Accept"), ";as=APIGroupDiscoveryList") {
		w.WriteHeader(http.StatusNotAcceptable)
	}
	_, _ = io.WriteString(w, `{"kind": "APIGroupDiscoveryList", "items": [{"metadata": {"name": "argoproj.io"}, `+
		`"versions": [{"version": "v1alpha1", "resources": [`+
		`{"resource": "clusters", "singularResource": "cluster", "scope": "Cluster"},`+
		`{"resource": "rollouts", "singularResource": "rollout", "shortNames": ["ro"], "scope": "Namespaced"}]}]}]}`)
}

func (s *checkServer) serveGroup(w http.ResponseWriter) {
	resources := []map[string]string{{"name": "mutatingwebhookconfigurations"}}
	if !s.noPolicies {
		resources = append(resources, map[string]string{"name": "validatingadmissionpolicies"})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "APIResourceList", "resources": resources})
}

// servePod responds with the text of the pod of a path.
func servePod(w http.ResponseWriter, texts map[string]string, path string) {
	text, found := texts[path[strings.LastIndex(path, "/")+1:]]
	if !found {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = io.WriteString(w, text)
}

func (s *checkServer) create(w http.ResponseWriter, r *http.Request) {
	resource := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	switch {
	case slices.Contains(s.forbidden, "create "+resource):
		forbid(w, resource)
	case resource == "pods" && r.URL.Query().Get("dryRun") != "All":
		w.WriteHeader(http.StatusTeapot)
	case resource == "pods" && s.trial != nil:
		s.trial(w, r)
	case resource == "pods":
		w.Header().Set("Warning", `299 - "sidecar injector: the pod is admitted without sidecars: bad_request_annotation: `+
			`annotation injector.tumblr.com/request: \"k8s-sidecar-injector check\" is not a sidecar"`)
		_, _ = io.Copy(w, r.Body)
	default:
		s.review(w, r)
	}
}

// review responds to an access review.
func (s *checkServer) review(w http.ResponseWriter, r *http.Request) {
	var review struct {
		Kind string `json:"kind"`
		Spec struct {
			ResourceAttributes struct{ Verb, Resource string }
		} `json:"spec"`
		Status map[string]bool `json:"status"`
	}
	_ = json.NewDecoder(r.Body).Decode(&review)
	a := review.Spec.ResourceAttributes
	allowed := !slices.Contains(s.denied, a.Verb) && !slices.Contains(s.denied, a.Verb+" "+a.Resource)
	review.Status = map[string]bool{"allowed": allowed}
	_ = json.NewEncoder(w).Encode(review)
}
