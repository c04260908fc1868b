package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	admissionv1 "k8s.io/api/admission/v1"

	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/server"
)

// workloadWebhook is the handler with its lanes, log and metrics.
type workloadWebhook struct {
	*server.WorkloadWebhook
	lanes    *server.Lanes
	log      *lines
	registry *prometheus.Registry
}

// newWorkloadWebhook returns a handler with defaults of namespaces.
func newWorkloadWebhook(tb testing.TB, p *mutate.Policy) *workloadWebhook {
	tb.Helper()
	h := &workloadWebhook{lanes: server.NewLanes(), log: new(lines), registry: prometheus.NewRegistry()}
	snapshots := load(tb, sidecars)
	metrics, err := server.NewMetrics(h.registry, snapshots)
	if err != nil {
		tb.Fatal(err)
	}
	namespaces := &annotated{requests: map[string]string{"typo": "loger"}}
	h.WorkloadWebhook = server.NewWorkloadWebhook(h.lanes, snapshots, namespaces, p, metrics, zerolog.New(h.log))
	return h
}

// workloadKinds returns the kinds of workloads with their API versions.
func workloadKinds() map[string]string {
	return map[string]string{
		"Deployment": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "ReplicaSet": "apps/v1",
		"Job": "batch/v1", "CronJob": "batch/v1", "ReplicationController": "v1",
	}
}

// workload returns an object with annotations of its own and of its pod template.
func workload(kind, own, template string) string {
	pod := `{"metadata":{"annotations":{` + template + `}},"spec":{"containers":[{"name":"app"}]}}`
	spec := `{"replicas":1,"template":` + pod + `}`
	if kind == "CronJob" {
		spec = `{"jobTemplate":{"spec":` + spec + `}}`
	}
	return fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":"web","annotations":{%s}},"spec":%s}`,
		workloadKinds()[kind], kind, own, spec)
}

// requesting returns the annotation that requests a sidecar.
func requesting(ref string) string { return fmt.Sprintf(`"injector.tumblr.com/request":%q`, ref) }

// reviewOf returns the review of a change of a workload.
func reviewOf(operation, object, oldObject string) string {
	return fmt.Sprintf(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u",`+
		`"operation":%q,"name":"web","namespace":"team","kind":{"kind":"Deployment"},"userInfo":{"username":"alice"},`+
		`"object":%s,"oldObject":%s}}`, operation, object, oldObject)
}

// send returns the response to a review, which is allowed.
func (h *workloadWebhook) send(t *testing.T, body string) *admissionv1.AdmissionResponse {
	t.Helper()
	response := responseOf(t, review(t, h, body))
	if !response.Allowed || response.Patch != nil {
		t.Errorf("the response is %+v", response)
	}
	return response
}

const (
	typo      = "lgger:v1"
	typoCause = `unknown_sidecar: annotation injector.tumblr.com/request: there is no sidecar "lgger:v1": ` +
		`did you mean logger:latest, logger:v1?`
	typoWarning = "sidecar injector: the pods would be admitted without sidecars: " + typoCause
)

// A workload gets the warnings that its pods would get, and one about annotations at the wrong place.
func TestWorkloads(t *testing.T) {
	t.Parallel()
	const misplaced = `sidecar injector: annotation "injector.tumblr.com/request" is not on the pod template: put it into `
	good, bad, other := requesting("logger:v1"), requesting(typo), `"deployment.kubernetes.io/revision":"2"`
	for name, test := range map[string]struct {
		body     string
		warnings []string
		reason   string
	}{
		"valid": {reviewOf("CREATE", workload("Deployment", "", good), "null"), nil, "injected"},
		"unknown sidecar": {
			reviewOf("CREATE", workload("Deployment", "", bad), "null"), []string{typoWarning}, "unknown_sidecar",
		},
		"conflict": {
			reviewOf("CREATE", workload("Deployment", "", requesting("clash:v1")), "null"),
			[]string{"sidecar injector: the pods would be denied: conflict: sidecar clash:v1 does not fit this pod: " +
				`the pod already has a container "app" (containers[0]): rename one of them`},
			"conflict",
		},
		"unknown annotation": {
			reviewOf("CREATE", workload("Deployment", "", `"injector.tumblr.com/reqest":"x"`), "null"),
			[]string{`sidecar injector: annotation "injector.tumblr.com/reqest" is unknown: did you mean ` +
				`"injector.tumblr.com/request"?`},
			"no_annotation",
		},
		"misplaced": {
			reviewOf("CREATE", workload("StatefulSet", good, ""), "null"),
			[]string{misplaced + "spec.template.metadata.annotations"},
			"no_annotation",
		},
		"misplaced on the template of jobs": {
			reviewOf("CREATE", strings.Replace(workload("CronJob", "", ""), `"jobTemplate":{`,
				`"jobTemplate":{"metadata":{"annotations":{`+good+`}},`, 1), "null"),
			[]string{misplaced + "spec.jobTemplate.spec.template.metadata.annotations"},
			"no_annotation",
		},
		"misplaced without a template": {
			reviewOf("CREATE", `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"annotations":{`+good+
				`}},"spec":{"template":null}}`, "null"),
			[]string{misplaced + "spec.template.metadata.annotations"},
			"no_annotation",
		},
		"at both places": {reviewOf("CREATE", workload("Deployment", good, good), "null"), nil, "injected"},
		"opted out":      {reviewOf("CREATE", workload("Deployment", "", requesting("none")), "null"), nil, "opted_out"},
		"no annotation":  {reviewOf("CREATE", workload("Deployment", other, other), "null"), nil, ""},
		"too many containers": {
			reviewOf("CREATE", strings.Replace(workload("Deployment", "", good), `{"name":"app"}`,
				`{"name":"app"}`+strings.Repeat(`,{}`, 250), 1), "null"),
			[]string{`sidecar injector: the pods would be denied: bad_review: the pod exceeds a limit: ` +
				`"/spec/template/spec/containers": more than 250 containers`},
			"bad_review",
		},
		"default of the namespace": {
			strings.Replace(reviewOf("CREATE", workload("Deployment", "", `"injector.tumblr.com/param.x":"y"`), "null"),
				`"team"`, `"typo"`, 1),
			[]string{"sidecar injector: the pods would be admitted without sidecars: unknown_sidecar: annotation " +
				`injector.tumblr.com/request of namespace "typo": there is no sidecar "loger:latest": ` +
				"did you mean logger:latest, logger:v1?"},
			"unknown_sidecar",
		},
		"failed lookup of the namespace": {
			strings.Replace(reviewOf("CREATE", workload("Deployment", "", `"injector.tumblr.com/param.x":"y"`), "null"),
				`"team"`, `"away"`, 1), nil, "namespace_unavailable",
		},
		"dry run": {
			strings.Replace(reviewOf("CREATE", workload("Deployment", "", bad), "null"), `"uid"`, `"dryRun":true,"uid"`, 1),
			[]string{typoWarning},
			"unknown_sidecar",
		},
		"v1beta1": {
			strings.Replace(reviewOf("CREATE", workload("Deployment", "", bad), "null"), "k8s.io/v1", "k8s.io/v1beta1", 1),
			[]string{typoWarning},
			"unknown_sidecar",
		},
		"update of the template": {
			reviewOf("UPDATE", workload("Deployment", "", bad), workload("Deployment", "", good)),
			[]string{typoWarning},
			"unknown_sidecar",
		},
		"update of another field of the template": {
			reviewOf("UPDATE", workload("Deployment", "", bad), strings.Replace(workload("Deployment", "", bad),
				`"name":"app"`, `"name":"old"`, 1)),
			[]string{typoWarning},
			"unknown_sidecar",
		},
		"update of its own annotation": {
			reviewOf("UPDATE", workload("Deployment", good, ""), workload("Deployment", "", "")),
			[]string{misplaced + "spec.template.metadata.annotations"},
			"no_annotation",
		},
		"update of other annotations": {
			reviewOf("UPDATE", workload("Deployment", other, bad), workload("Deployment", "", bad)), nil, "",
		},
		"scaled": {
			reviewOf("UPDATE", workload("Deployment", bad, bad), strings.Replace(workload("Deployment", bad, bad),
				`"replicas":1`, `"replicas":2`, 1)), nil, "",
		},
		"deletion":   {reviewOf("DELETE", "null", workload("Deployment", "", bad)), nil, ""},
		"connection": {reviewOf("CONNECT", workload("Deployment", "", bad), "null"), nil, ""},
		"subresource": {
			strings.Replace(reviewOf("CREATE", workload("Deployment", "", bad), "null"), `"uid"`, `"subResource":"x","uid"`, 1),
			nil, "",
		},
		"large template": {
			reviewOf("CREATE", strings.Replace(workload("Deployment", "", bad), "app", strings.Repeat("a", 256<<10), 1), "null"),
			nil, "",
		},
		"long name": {
			reviewOf("CREATE", strings.Replace(workload("Deployment", "", bad), "web", strings.Repeat("a", 254), 1), "null"),
			nil, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newWorkloadWebhook(t, policy())
			response := h.send(t, test.body)
			if diff := cmp.Diff(test.warnings, response.Warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			h.checkRecord(t, response, test.reason)
		})
	}
}

// checkRecord checks the audit annotations, the log and the metric.
func (h *workloadWebhook) checkRecord(t *testing.T, response *admissionv1.AdmissionResponse, reason string) {
	t.Helper()
	outcome, level := "allowed", "debug"
	if response.Warnings != nil {
		outcome, level = "warned", "info"
	}
	audit := map[string]string{"outcome": outcome, "generation": "1"}
	if reason != "" {
		audit["reason"] = reason
	}
	if diff := cmp.Diff(audit, response.AuditAnnotations); diff != "" {
		t.Errorf("audit annotations (-want +got):\n%s", diff)
	}
	for _, event := range h.log.events(t) {
		if event["message"] != "workload reviewed" || event["outcome"] != outcome || event["level"] != level ||
			event["reason"] != reason || event["user"] != "alice" || event["name"] != "web" {
			t.Errorf("the log is %v", event)
		}
	}
	h.checkCounts(t, outcome)
}

// checkCounts checks that the only review has the outcome, and that reviews of pods are not counted.
func (h *workloadWebhook) checkCounts(t *testing.T, outcome string) {
	t.Helper()
	text := "# HELP sidecar_injector_workload_reviews_total Reviews of workloads, by outcome: warned if a request for " +
		"sidecars has a mistake.\n# TYPE sidecar_injector_workload_reviews_total counter\n"
	for _, one := range []string{"allowed", "refused", "warned"} {
		count := 0
		if one == outcome {
			count = 1
		}
		text += fmt.Sprintf("sidecar_injector_workload_reviews_total{outcome=%q} %d\n", one, count)
	}
	expectMetrics(t, h.registry, text+reviewCounts(nil), "sidecar_injector_workload_reviews_total",
		"sidecar_injector_reviews_total")
	if used := h.lanes.Used(); used != 0 {
		t.Errorf("%d bytes are still charged", used)
	}
}

// Each kind of workload is reviewed.
func TestWorkloadsOfEachKind(t *testing.T) {
	t.Parallel()
	h := newWorkloadWebhook(t, policy())
	for kind := range workloadKinds() {
		for ref, want := range map[string][]string{"logger:v1": nil, typo: {typoWarning}} {
			response := h.send(t, reviewOf("CREATE", workload(kind, "", requesting(ref)), "null"))
			if !slices.Equal(response.Warnings, want) {
				t.Errorf("%s with %s: %q", kind, ref, response.Warnings)
			}
		}
	}
}

// Objects that are not workloads are allowed without warnings, and so are malformed ones.
func TestWorkloadsOfOtherObjects(t *testing.T) {
	t.Parallel()
	own := `"metadata":{"annotations":{` + requesting(typo) + `}}`
	for _, object := range []string{
		"null", "1", `"text"`, "[1]", "{}",
		`{"apiVersion":"v1","kind":"Pod",` + own + `,"spec":{"containers":[]}}`,
		`{"apiVersion":"v1","kind":"PodTemplate","template":{` + own + `}}`,
		`{"apiVersion":"example.com/v1","kind":"Deployment",` + own + `,"spec":{"template":{` + own + `}}}`,
		`{"apiVersion":"apps/v1","kind":"Deployment",` + own + `}`,
		`{"apiVersion":"apps/v1","kind":"Deployment",` + own + `,"spec":[]}`,
		`{"apiVersion":"apps/v1","kind":"Deployment",` + own + `,"spec":{"template":"s3cr3t"}}`,
		`{"apiVersion":"apps/v1","kind":"Deployment",` + own + `,"spec":{"template":{"spec":{"containers":"s3cr3t"}}}}`,
		`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"annotations":{` + manyKeys() + `}}}`,
	} {
		for _, body := range []string{
			reviewOf("CREATE", object, "null"), reviewOf("UPDATE", object, object), reviewOf("UPDATE", object, "[]"),
			reviewOf("DELETE", "null", object),
		} {
			h := newWorkloadWebhook(t, policy())
			response := h.send(t, body)
			if response.Warnings != nil {
				t.Errorf("%.200s: %q", body, response.Warnings)
			}
			h.checkRecord(t, response, "")
			if strings.Contains(h.log.String(), "s3cr3t") {
				t.Errorf("the log is %s", h.log)
			}
		}
	}
}

func TestWorkloadsRefuses(t *testing.T) {
	t.Parallel()
	good := reviewOf("CREATE", workload("Deployment", "", requesting(typo)), "null")
	for name, test := range map[string]struct {
		body string
		code int
	}{
		"nothing":       {"", http.StatusBadRequest},
		"no JSON":       {"{", http.StatusBadRequest},
		"no request":    {`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}`, http.StatusBadRequest},
		"no uid":        {strings.Replace(good, `"uid":"u"`, `"uid":""`, 1), http.StatusBadRequest},
		"wrong kind":    {strings.Replace(good, "AdmissionReview", "Review", 1), http.StatusBadRequest},
		"wrong version": {strings.Replace(good, "admission.k8s.io/v1", "admission.k8s.io/v2", 1), http.StatusBadRequest},
		"doubled":       {strings.Replace(good, `"uid":"u"`, `"uid":"u","uid":"u"`, 1), http.StatusBadRequest},
		"too large":     {good + strings.Repeat(" ", maxBody), http.StatusRequestEntityTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newWorkloadWebhook(t, policy())
			if w := review(t, h, test.body); w.Code != test.code {
				t.Errorf("the response is %d %s", w.Code, w.Body)
			}
			h.checkCounts(t, "refused")
		})
	}
}

// A review whose deadline has passed is refused, and the failure policy admits the workload.
func TestWorkloadsDeadline(t *testing.T) {
	t.Parallel()
	h := newWorkloadWebhook(t, policy())
	body := reviewOf("CREATE", workload("Deployment", "", requesting(typo)), "null")
	request := newRequest(t, strings.NewReader(body))
	request.URL.RawQuery = "timeout=1ns"
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, request); w.Code != http.StatusServiceUnavailable {
		t.Errorf("the response is %d %s", w.Code, w.Body)
	}
	h.checkCounts(t, "refused")
}

// The warning depends on the policy.
func TestWorkloadsWithOtherPolicy(t *testing.T) {
	t.Parallel()
	p := policy()
	p.OnUnknown, p.AnnotationNamespace = mutate.Deny, "sidecars.example.com"
	h := newWorkloadWebhook(t, p)
	own := strings.ReplaceAll(requesting(typo), "injector.tumblr.com", p.AnnotationNamespace)
	want := []string{"sidecar injector: the pods would be denied: " +
		strings.ReplaceAll(typoCause, "injector.tumblr.com", p.AnnotationNamespace)}
	response := h.send(t, reviewOf("CREATE", workload("Job", "", own), "null"))
	if diff := cmp.Diff(want, response.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if response := h.send(t, reviewOf("CREATE", workload("Job", "", requesting(typo)), "null")); response.Warnings != nil {
		t.Errorf("an annotation with another prefix gets %q", response.Warnings)
	}
}

// FuzzWorkload checks for panics, denials and invalid responses.
func FuzzWorkload(f *testing.F) {
	for kind := range workloadKinds() {
		for _, object := range []string{
			workload(kind, requesting(typo), ""), workload(kind, "", requesting("logger:v1")), "[1]",
		} {
			f.Add(reviewOf("CREATE", object, "null"))
			f.Add(reviewOf("UPDATE", object, workload(kind, "", "")))
		}
	}
	h := newWorkloadWebhook(f, policy())
	f.Fuzz(func(t *testing.T, body string) {
		w := review(t, h, body)
		if w.Code == http.StatusBadRequest {
			return
		}
		if w.Code != http.StatusOK || !json.Valid(w.Body.Bytes()) || !strings.Contains(w.Body.String(), `"allowed":true`) {
			t.Errorf("the response is %d %s", w.Code, w.Body)
		}
	})
}
