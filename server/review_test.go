package server_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	jsonpatch "github.com/evanphx/json-patch/v5"
	jsonv2 "github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	admissionv1beta1 "k8s.io/api/admission/v1beta1"
	corev1 "k8s.io/api/core/v1"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
)

// strict decodes JSON without unknown fields.
func strict(tb testing.TB, body []byte, into any) {
	tb.Helper()
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		tb.Fatalf("%T: %v\n%s", into, err, body)
	}
	if decoder.More() {
		tb.Fatalf("something follows the answer: %s", body)
	}
}

// decodeResponse decodes a response, which must be valid in both versions of the API.
func decodeResponse(tb testing.TB, body []byte) *admissionv1.AdmissionReview {
	tb.Helper()
	var old admissionv1beta1.AdmissionReview
	strict(tb, body, &old)
	var a admissionv1.AdmissionReview
	strict(tb, body, &a)
	if a.Response == nil || a.Request != nil {
		tb.Fatalf("want a response and nothing else, got %s", body)
	}
	return &a
}

// object returns the pod of a review.
func object(tb testing.TB, review []byte) []byte {
	tb.Helper()
	var question admissionv1.AdmissionReview
	if err := json.Unmarshal(review, &question); err != nil {
		tb.Fatal(err)
	}
	return question.Request.Object.Raw
}

// patched applies a patch as the API server does.
func patched(tb testing.TB, object, patch []byte) *corev1.Pod {
	tb.Helper()
	operations, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		tb.Fatalf("%v: %s", err, patch)
	}
	changed, err := operations.Apply(object)
	if err != nil {
		tb.Fatalf("%v: %s", err, patch)
	}
	var pod corev1.Pod
	strict(tb, changed, &pod)
	return &pod
}

func containerNames(list []corev1.Container) string {
	var names []string
	for i := range list {
		names = append(names, list[i].Name)
	}
	return strings.Join(names, " ")
}

func TestRecordedReviews(t *testing.T) {
	t.Parallel()
	const warning = `,"warnings":["sidecar injector: the pod does not complete while these containers run: logger of ` +
		`sidecar logger:v1, rotate of sidecar logger:v1; inJobs in a definition can change this"]`
	for _, c := range []struct{ file, version, uid, containers, sidecar string }{
		{"v1-bare-pod", "v1", "2fd1aee0-48fd-49dc-b5e8-30b42a494633", "app logger", "logger:latest"},
		{"v1-deployment-pod", "v1", "0c972378-6211-4715-b89a-d5642d92bfa9", "web nginx logger rotate", "logger:v1"},
		{"v1-job-pod", "v1", "9a6567a6-1cd7-4855-bddd-faf2ffb89ef1", "once logger rotate", "logger:v1"},
		{"v1-pod-without-volumes", "v1", "697a8710-3454-479e-96ca-b91c4a6721cd", "app logger rotate", "logger:v1"},
		{"v1beta1-bare-pod", "v1beta1", "8ef0e372-746d-4833-84a5-cf1f010124dd", "app logger", "logger:latest"},
		{
			"v1beta1-deployment-pod", "v1beta1", "579330ff-ef00-4c82-9af4-d7682b74c738", "web nginx logger rotate",
			"logger:v1",
		},
	} {
		t.Run(c.file, func(t *testing.T) {
			t.Parallel()
			question := recorded(t, c.file)
			w := review(t, newInjector(t, policy()), string(question))
			a := decodeResponse(t, w.Body.Bytes())
			want := fmt.Sprintf(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/%s","response":{"uid":%q,`+
				`"allowed":true,`+
				`"patch":%q,"patchType":"JSONPatch","auditAnnotations":{"outcome":"injected","reason":"injected",`+
				`"sidecars":%q,"generation":"1"}%s}}`,
				c.version, c.uid, base64.StdEncoding.EncodeToString(a.Response.Patch),
				patched(t, object(t, question), a.Response.Patch).Annotations["injector.tumblr.com/injected"],
				map[string]string{"v1-job-pod": warning}[c.file])
			if got := w.Body.String(); got != want {
				t.Errorf("answer:\n%s", cmp.Diff(want, got))
			}
			wantHeader := http.Header{"Content-Type": {"application/json"}, "Content-Length": {fmt.Sprint(len(want))}}
			if diff := cmp.Diff(wantHeader, w.Header()); diff != "" {
				t.Errorf("header:\n%s", diff)
			}
			pod := patched(t, object(t, question), a.Response.Patch)
			if got := containerNames(pod.Spec.Containers); got != c.containers {
				t.Errorf("want containers %q, got %q", c.containers, got)
			}
			if got, _, _ := strings.Cut(pod.Annotations["injector.tumblr.com/injected"], "@"); got != c.sidecar {
				t.Errorf("want %s injected, got %q", c.sidecar, got)
			}
			if got := pod.Annotations["injector.tumblr.com/status"]; got != "injected" {
				t.Errorf("want status injected, got %q", got)
			}
		})
	}
}

// The same review has the same response, and the same patch in both versions of the API.
func TestSameQuestionSameAnswer(t *testing.T) {
	t.Parallel()
	i := newInjector(t, policy())
	question := recorded(t, "v1-deployment-pod")
	first := review(t, i, string(question)).Body.String()
	for range 3 {
		if again := review(t, i, string(question)).Body.String(); again != first {
			t.Fatalf("answers differ:\n%s", cmp.Diff(first, again))
		}
	}
	beta := bytes.Replace(question, []byte("admission.k8s.io/v1"), []byte("admission.k8s.io/v1beta1"), 1)
	want := strings.Replace(first, "admission.k8s.io/v1", "admission.k8s.io/v1beta1", 1)
	if got := review(t, i, string(beta)).Body.String(); got != want {
		t.Errorf("v1beta1:\n%s", cmp.Diff(want, got))
	}
}

// The reference of the benchmark has the same result.
func TestReferenceDoesTheSame(t *testing.T) {
	t.Parallel()
	question := recorded(t, "v1-deployment-pod")
	var pods [2]*corev1.Pod
	for i, handler := range []http.Handler{newInjector(t, policy()), http.HandlerFunc(referenceWebhook)} {
		a := decodeResponse(t, review(t, handler, string(question)).Body.Bytes())
		pods[i] = patched(t, object(t, question), a.Response.Patch)
		delete(pods[i].Annotations, "injector.tumblr.com/injected")
	}
	if diff := cmp.Diff(pods[1], pods[0]); diff != "" {
		t.Errorf("reference and ours:\n%s", diff)
	}
}

// newReview returns a v1 review of a request with these fields.
func newReview(members string) string {
	return `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u1",` + members + `}}`
}

// podReview returns a review of a new pod.
func podReview(object string) string {
	return newReview(`"resource":{"group":"","version":"v1","resource":"pods"},"namespace":"team",` +
		`"operation":"CREATE","object":` + object)
}

// podRequesting returns a pod that requests a sidecar and has one container.
func podRequesting(request, container string) string {
	return fmt.Sprintf(`{"metadata":{"name":"p","annotations":{"injector.tumblr.com/request":%q}},`+
		`"spec":{"containers":[{"name":%q}]}}`, request, container)
}

// The response to a skipped pod has only its reason.
func TestSkipped(t *testing.T) {
	t.Parallel()
	const pods = `"resource":{"group":"","version":"v1","resource":"pods"},`
	for _, c := range []struct{ name, body, reason string }{
		{"deployment", newReview(`"resource":{"group":"apps","version":"v1","resource":"deployments"},` +
			`"operation":"CREATE","object":{"spec":{"template":{}}}`), "not_a_pod_create"},
		{"text for a spec", newReview(`"resource":{"group":"example.com","version":"v1","resource":"notes"},` +
			`"operation":"CREATE","object":{"spec":"text"}`), "not_a_pod_create"},
		{
			"a list for a spec",
			newReview(`"resource":{"group":"example.com","version":"v1","resource":"notes"},"operation":"CREATE",` +
				`"object":{"spec":{"containers":"none","volumes":7}}`), "not_a_pod_create",
		},
		{"annotations are a list", newReview(`"resource":{"group":"example.com","version":"v1","resource":"notes"},` +
			`"operation":"UPDATE","object":{"metadata":{"annotations":[1]}}`), "not_a_pod_create"},
		{
			"delete", newReview(pods + `"operation":"DELETE","object":null,"oldObject":{"spec":{"containers":[]}}`),
			"not_a_pod_create",
		},
		{"no object", newReview(pods + `"operation":"CONNECT"`), "not_a_pod_create"},
		{
			"subresource", newReview(pods + `"subResource":"ephemeralcontainers","operation":"CREATE","object":{}`),
			"not_a_pod_create",
		},
		{"null object", podReview("null"), "no_annotation"},
		{"duplicate in an ignored field", podReview(`{"metadata":{"managedFields":[{"a":1,"a":2}]}}`), "no_annotation"},
		{"null everywhere", podReview(`{"metadata":null,"spec":null}`), "no_annotation"},
		{
			"nested", podReview(`{"status":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}`),
			"no_annotation",
		},
		{"mirror", podReview(`{"metadata":{"annotations":{"kubernetes.io/config.mirror":"x",` +
			`"injector.tumblr.com/request":"logger"}}}`), "mirror_pod"},
		{
			"namespace", strings.Replace(podReview(podRequesting("logger", "app")), "team", "kube-system", 1),
			"ignored_namespace",
		},
		{"already injected", podReview(`{"metadata":{"annotations":{"injector.tumblr.com/status":"Injected",` +
			`"injector.tumblr.com/request":"logger"}}}`), "already_injected"},
		{"none", podReview(podRequesting("none", "app")), "opted_out"},
		{"recorded", string(recorded(t, "v1-pod-without-request")), "no_annotation"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			i := newInjector(t, policy())
			w := review(t, i, c.body)
			a := decodeResponse(t, w.Body.Bytes())
			audit := fmt.Sprintf(`"outcome":"skipped","reason":%q,"generation":"1"`, c.reason)
			if c.reason == "already_injected" {
				audit = `"reinvocation":"already_injected"`
			}
			want := fmt.Sprintf(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":%q,`+
				`"allowed":true,"auditAnnotations":{%s}}}`, a.Response.UID, audit)
			if got := w.Body.String(); got != want || a.Response.UID == "" {
				t.Errorf("answer:\n%s", cmp.Diff(want, got))
			}
			if log := i.log.String(); log != "" {
				t.Errorf("a skip is logged at info: %s", log)
			}
		})
	}
}

// message returns the message of package mutate for a review.
func message(tb testing.TB, p *mutate.Policy, question string) string {
	tb.Helper()
	var review struct {
		Request mutate.Request `json:"request"`
	}
	if err := jsonv2.Unmarshal([]byte(question), &review); err != nil {
		tb.Fatal(err)
	}
	decision := mutate.Pod(load(tb, sidecars).Current(), p, &review.Request)
	if decision.Message() == "" {
		tb.Fatalf("no message: %v", decision)
	}
	return decision.Message()
}

// markOf returns the patch, in base64, that marks a pod as skipped for the reason.
func markOf(reason string) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil,
		`[{"op":"add","path":"/metadata/annotations/injector.tumblr.com~1status","value":"skipped: %s"}]`, reason))
}

// The policy decides whether a pod is denied, or admitted with a warning. A denial has no warning, because kubectl
// prints its message.
func TestDeniedOrWarned(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, pod, reason string }{
		{"unknown", podRequesting("missing:v3", "app"), "unknown_sidecar"},
		{"malformed", podRequesting("a b", "app"), "bad_request_annotation"},
		{"conflict", podRequesting("clash:v1", "app"), "conflict"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			denying, admitting := policy(), policy()
			denying.OnUnknown, denying.OnConflict = mutate.Deny, mutate.Deny
			admitting.OnUnknown, admitting.OnConflict = mutate.Admit, mutate.Admit
			for p, want := range map[*mutate.Policy]string{
				denying: fmt.Sprintf(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1",`+
					`"response":{"uid":"u1","allowed":false,`+
					`"status":{"status":"Failure","message":%q,"reason":"Forbidden","code":403},`+
					`"auditAnnotations":{"outcome":"denied","reason":%q,"generation":"1"}}}`,
					c.reason+": "+message(t, denying, podReview(c.pod)), c.reason),
				admitting: fmt.Sprintf(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1",`+
					`"response":{"uid":"u1","allowed":true,"patch":%q,"patchType":"JSONPatch",`+
					`"auditAnnotations":{"outcome":"skipped","reason":%q,"generation":"1"},`+
					`"warnings":[%q]}}`, markOf(c.reason), c.reason,
					"sidecar injector: the pod is admitted without sidecars: "+c.reason+": "+message(t,
						admitting, podReview(c.pod))),
			} {
				w := review(t, newInjector(t, p), podReview(c.pod))
				decodeResponse(t, w.Body.Bytes())
				if got := w.Body.String(); got != want {
					t.Errorf("answer:\n%s", cmp.Diff(want, got))
				}
			}
		})
	}
}

// The second review of a pod completes its containers. If they do not fit, the pod stays unchanged.
func TestReinvocation(t *testing.T) {
	t.Parallel()
	for volumes, want := range map[string]string{
		`{"name":"app-logs"}`: "completed",
		``: "already_injected: the pod was injected before and is not completed: sidecar logger:v1 does not fit this pod: " +
			`sidecar logger:v1 mounts volume "app-logs", which neither the pod nor a sidecar has: add it to one of them`,
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			i := newInjector(t, policy())
			w := review(t, i, podReview(injectedPod(i, "late", volumes)))
			got := decodeResponse(t, w.Body.Bytes()).Response
			reason, message, unchanged := strings.Cut(want, ": ")
			if !got.Allowed || (got.Patch == nil) != unchanged ||
				!maps.Equal(got.AuditAnnotations, map[string]string{"reinvocation": reason}) {
				t.Errorf("unexpected response %s", w.Body)
			}
			var warnings []string
			if unchanged {
				warnings = []string{"sidecar injector: the pod is admitted unchanged: " + reason + ": " + message}
			}
			if !slices.Equal(got.Warnings, warnings) {
				t.Errorf("want warnings %q, got %q", warnings, got.Warnings)
			}
		})
	}
}

// injectedPod returns a pod with the annotations of an injection of logger:v1, and one container.
func injectedPod(i *injector, container, volumes string) string {
	injected := mutate.Injections([]*conf.Sidecar{i.snapshots.Current().Sidecar(conf.Ref{Name: "logger", Version: "v1"})})
	return fmt.Sprintf(`{"metadata":{"annotations":{"injector.tumblr.com/status":"injected",`+
		`"injector.tumblr.com/injected":%q}},"spec":{"containers":[{"name":%q}],"volumes":[%s]}}`,
		injected, container, volumes)
}

// Messages are short and have no control characters. The API server sends warnings as HTTP headers, and kubectl
// prints messages on a terminal.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]string{
		"long":             strings.Repeat("x", 300<<10),
		"runes at the cut": strings.Repeat("a", 77) + strings.Repeat("€", 1000),
		"shifted by one":   strings.Repeat("a", 78) + strings.Repeat("😀", 1000),
		"control":          "a\x00\x1b[31m\r\nWarning: x\u0085\u2028b",
		"escaped":          strings.Repeat(`\"`, 500),
	} {
		for _, action := range []mutate.Action{mutate.Admit, mutate.Deny} {
			t.Run(name+" "+string(action), func(t *testing.T) {
				t.Parallel()
				p := policy()
				p.OnUnknown = action
				quoted, err := json.Marshal(request)
				if err != nil {
					t.Fatal(err)
				}
				i := newInjector(t, p)
				w := review(t, i, podReview(`{"metadata":{"annotations":{"injector.tumblr.com/request":`+string(quoted)+`}}}`))
				r := decodeResponse(t, w.Body.Bytes()).Response
				text, most := "", 1024
				if action == mutate.Admit && len(r.Warnings) == 1 {
					text, most = r.Warnings[0], 1024
				}
				if action == mutate.Deny && r.Result != nil {
					text = r.Result.Message
				}
				if !strings.Contains(text, "annotation injector.tumblr.com/request: ") {
					t.Errorf("unexpected text %q", text)
				}
				if len(text) > most || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
					t.Errorf("%d bytes, or not printable: %q", len(text), text)
				}
				if log := i.log.String(); len(log) > 3<<10 {
					t.Errorf("%d bytes of log", len(log))
				}
			})
		}
	}
}

// A pod whose annotation is misspelled is not injected, and the author gets a warning.
func TestMisspelledAnnotation(t *testing.T) {
	t.Parallel()
	pod := strings.Replace(podRequesting("logger:v1", "app"), "/request", "/reqest", 1)
	got := decodeResponse(t, review(t, newInjector(t, policy()), podReview(pod)).Body.Bytes()).Response
	want := []string{`sidecar injector: annotation "injector.tumblr.com/reqest" is unknown: ` +
		`did you mean "injector.tumblr.com/request"?`}
	if !got.Allowed || got.Patch != nil || !slices.Equal(got.Warnings, want) {
		t.Errorf("allowed is %v, with patch %s and warnings %q", got.Allowed, got.Patch, got.Warnings)
	}
}

// A warning that depends on a field that most reviews do not decode.
func TestVolumeOfPodStays(t *testing.T) {
	t.Parallel()
	pod := strings.Replace(podRequesting("logger:v1", "app"), `"spec":{`,
		`"spec":{"volumes":[{"name":"positions","hostPath":{"path":"/logs"}}],`, 1)
	got := decodeResponse(t, review(t, newInjector(t, policy()), podReview(pod)).Body.Bytes()).Response
	want := []string{`sidecar injector: volume "positions" of sidecar logger:v1 is not added: ` +
		`the pod has another volume of that name`}
	if !got.Allowed || got.Patch == nil || !slices.Equal(got.Warnings, want) {
		t.Errorf("allowed is %v, with patch %s and warnings %q", got.Allowed, got.Patch, got.Warnings)
	}
}
