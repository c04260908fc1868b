package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/server"
	"k8s-sidecar-injector/store"
)

// validator is the handler with its snapshots, log and metrics.
type validator struct {
	*server.Validator
	snapshots *store.Store
	documents []conf.Document
	labelledConfigMaps
	log      *lines
	registry *prometheus.Registry
}

// newValidator returns a validator. It serves a base and a child, and some invalid documents.
func newValidator(tb testing.TB) *validator {
	tb.Helper()
	v := &validator{snapshots: new(store.Store), log: new(lines), registry: prometheus.NewRegistry()}
	metrics, err := server.NewMetrics(v.registry, v.snapshots)
	if err != nil {
		tb.Fatal(err)
	}
	v.publish("base", "name: base\n")
	v.publish("child", "name: child\ninherits: base\n")
	v.publish("wrong", "name: wrong\nx: 1\n")
	v.publish("both", bothWrong)
	v.Validator = server.NewValidator(server.NewLanes(), v.snapshots, &v.labelledConfigMaps, metrics,
		zerolog.New(v.log).Level(zerolog.InfoLevel))
	return v
}

// labelledConfigMaps selects ConfigMaps with a label.
type labelledConfigMaps struct {
	trouble error
}

func (*labelledConfigMaps) Selects(c *corev1.ConfigMap) bool {
	return c.Namespace == "sidecars" && c.Labels["app"] == "injector"
}

func (l *labelledConfigMaps) Trouble() error { return l.trouble }

// bothWrong are two invalid documents.
const bothWrong = "name: one\nx: 1\n---\nname: two\nx: 1\n"

// publish adds a ConfigMap to the snapshot.
func (v *validator) publish(name, content string) {
	origin := conf.Origin{Kind: conf.ConfigMap, Root: "sidecars/" + name, Name: "k"}
	v.documents = append(v.documents, conf.Split(origin, []byte(content))...)
	v.snapshots.Publish(conf.Load(v.documents, nil))
}

// createdAt returns a ConfigMap with a creationTimestamp.
func createdAt(time, name, content string) string {
	return strings.Replace(labelled(name, "injector", content), `"metadata":{`,
		`"metadata":{"creationTimestamp":"`+time+`",`, 1)
}

// The owner of a ref keeps it. A new ConfigMap is the youngest, whatever its creationTimestamp is, and an update
// cannot change it.
func TestValidatorNamesTheOwner(t *testing.T) {
	t.Parallel()
	const old, owner, late, taken = "2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z", "2026-01-01T00:00:03Z", "name: x\n"
	const first, lose = "defined first by configmap sidecars/z-owner[k]",
		"defined by configmap sidecars/z-owner[k], which would lose it"
	for definition, content := range map[string]string{
		"good": taken, "broken": "name: x\nnonsense: 1\n",
		"unreadable": "name: x\nenv: [\n",
	} {
		for name, test := range map[string]struct {
			operation, name, before, after, want string
		}{
			"create":              {"CREATE", "a-new", "null", labelled("a-new", "injector", taken), first},
			"create, same second": {"CREATE", "a-new", "null", createdAt(owner, "a-new", taken), first},
			"create, slow clock":  {"CREATE", "a-new", "null", createdAt(old, "a-new", taken), first},
			"update of a younger one": {
				"UPDATE", "a-young", createdAt(late, "a-young", "name: y2\n"),
				createdAt(late, "a-young", taken), first,
			},
			"update without a time": {
				"UPDATE", "a-young", createdAt(late, "a-young", "name: y2\n"),
				labelled("a-young", "injector", taken), first,
			},
			"update of an older one": {
				"UPDATE", "a-old", createdAt(old, "a-old", "name: old\n"),
				createdAt(old, "a-old", taken), lose,
			},
			"update that forges a time": {
				"UPDATE", "a-young", createdAt(late, "a-young", "name: y2\n"),
				createdAt(old, "a-young", taken), first,
			},
			"update by the owner itself": {
				"UPDATE", "z-owner", createdAt(owner, "z-owner", content),
				createdAt(owner, "z-owner", "name: x\nhostAliases: []\n"), "",
			},
		} {
			t.Run(definition+"/"+name, func(t *testing.T) {
				t.Parallel()
				v := newValidator(t)
				configMap := new(corev1.ConfigMap)
				if err := json.Unmarshal([]byte(createdAt(owner, "z-owner", content)), configMap); err != nil {
					t.Fatal(err)
				}
				configMap.Namespace = "sidecars"
				v.snapshots.Publish(conf.Load(conf.OfConfigMap(configMap), nil))
				response := responseOf(t, v.validate(t, changing(test.operation, test.name, test.before, test.after)))
				if response.Allowed != (test.want == "") || !response.Allowed &&
					!strings.Contains(response.Result.Message, test.want) {
					t.Errorf("allowed is %t: %+v, want %q", response.Allowed, response.Result, test.want)
				}
			})
		}
	}
}

// A trial uses the rules of the snapshot.
func TestValidatorWithOtherRules(t *testing.T) {
	t.Parallel()
	v := newValidator(t)
	v.publish("strong", "name: strong\nhostPID: true\n")
	set, err := conf.Consent(conf.ConfigMap).Load(t.Context(), v.documents, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, published := v.snapshots.Publish(set); !published {
		t.Fatal("the rules make no difference")
	}
	strong := changing("CREATE", "new", "null", labelled("new", "injector", "name: new\nhostPID: true\n"))
	if response := responseOf(t, v.validate(t, strong)); !response.Allowed {
		t.Errorf("denied: %s", response.Result.Message)
	}
}

// labelled returns a ConfigMap with a label, or null if there is no content.
func labelled(name, app, content string) string {
	if content == "" {
		return "null"
	}
	key, err := json.Marshal(content)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q,"labels":{"app":%q}},`+
		`"data":{"k":%s}}`, name, app, key)
}

// changing returns the review of a change.
func changing(operation, name, before, after string) string {
	return fmt.Sprintf(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u",`+
		`"operation":%q,"name":%q,"namespace":"sidecars",`+
		`"resource":{"group":"","version":"v1","resource":"configmaps"},"userInfo":{"username":"alice"},`+
		`"object":%s,"oldObject":%s}}`, operation, name, after, before)
}

// validate sends a body through the validator. Denials take no time, because they use a fake clock.
func (v *validator) validate(t *testing.T, body string) (w *httptest.ResponseRecorder) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Helper()
		w = review(t, v, body)
	})
	return w
}

// responseOf decodes the response to a change.
func responseOf(tb testing.TB, w *httptest.ResponseRecorder) *admissionv1.AdmissionResponse {
	tb.Helper()
	if w.Code != http.StatusOK {
		tb.Fatalf("the response is %d %s", w.Code, w.Body)
	}
	response := decodeResponse(tb, w.Body.Bytes()).Response
	if response == nil || response.UID != "u" {
		tb.Fatalf("the response is %s", w.Body)
	}
	return response
}

func TestValidator(t *testing.T) {
	t.Parallel()
	const good, bad = "name: new\ninherits: base\n", "name: new\nx: 1\nz: 1\n"
	for name, test := range map[string]struct {
		operation, name, before, after string
		denied, warned                 []string
	}{
		"good": {"CREATE", "new", "null", labelled("new", "injector", good), nil, nil},
		"generate": {
			"CREATE", "", "null", labelled("", "injector", bad),
			[]string{"configmap sidecars/*[k]:2: x: Forbidden"},
			nil,
		},
		"bad": {
			"CREATE", "new", "null", labelled("new", "injector", bad),
			[]string{
				"configmap sidecars/new[k]:2: x: Forbidden: unknown field",
				"configmap sidecars/new[k]:3: z: Forbidden",
			},
			nil,
		},
		"power": {
			"CREATE", "new", "null", labelled("new", "injector",
				"name: new\nvolumes:\n- {name: root, hostPath: {path: /}}\n"),
			[]string{
				"configmap sidecars/new[k]:1: needs the Pod Security level privileged, which a definition in a " +
					"ConfigMap may not: " +
					"move it to a file, or have the operator start with --privileged-sources=files,configmaps\n" +
					`configmap sidecars/new[k]:1: violates the Pod Security level baseline: hostPath volumes (volume "root")`,
			},
			nil,
		},
		"not selected": {"CREATE", "new", "null", labelled("new", "other", bad), nil, nil},
		"bad update": {
			"UPDATE", "new", labelled("new", "injector", good), labelled("new", "injector", bad),
			[]string{"x: Forbidden"},
			nil,
		},
		"newly selected": {
			"UPDATE", "new", labelled("new", "other", bad), labelled("new", "injector", bad),
			[]string{"x: Forbidden"},
			nil,
		},
		"wrong as before": {
			"UPDATE", "wrong", labelled("wrong", "injector", "name: wrong\nx: 1\n"),
			labelled("wrong", "injector", "name: wrong\nx: 1\n"), nil,
			[]string{"still rejected: configmap sidecars/wrong[k]:2: x"},
		},
		"wrong differently": {
			"UPDATE", "wrong", labelled("wrong", "injector", "name: wrong\nx: 1\n"),
			labelled("wrong", "injector", "name: wrong\nx: 2\n"),
			[]string{"x: Forbidden"},
			nil,
		},
		"one of two fixed": {
			"UPDATE", "both", labelled("both", "injector", bothWrong),
			labelled("both", "injector", "name: one\n---\nname: two\nx: 1\n"), nil,
			[]string{"still rejected: configmap sidecars/both[k]:4: x"},
		},
		"one of two worse": {
			"UPDATE", "both", labelled("both", "injector", bothWrong),
			labelled("both", "injector", "name: one\nz: 1\n---\nname: two\nx: 1\n"),
			[]string{"rejected:\nconfigmap sidecars/both[k]:2: z: Forbidden: unknown field"},
			nil,
		},
		"taken": {
			"CREATE", "aaa", "null", labelled("aaa", "injector", "name: base\n"),
			[]string{"defined by configmap sidecars/base[k]"},
			nil,
		},
		"missing base": {"CREATE", "new", "null", labelled("new", "injector",
			"name: new\ninherits: missing\n"), []string{"no sidecar missing:latest"}, nil},
		"base deleted": {
			"DELETE", "base", labelled("base", "injector", "name: base\n"), "null", nil,
			[]string{"breaks child:latest"},
		},
		"base relabelled": {
			"UPDATE", "base", labelled("base", "injector", "name: base\n"),
			labelled("base", "other", "name: base\n"), nil,
			[]string{"breaks child:latest"},
		},
		"unknown deleted":   {"DELETE", "missing", labelled("missing", "injector", good), "null", nil, nil},
		"nothing there":     {"CREATE", "new", "null", "null", nil, nil},
		"another operation": {"CONNECT", "new", "null", "null", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newValidator(t)
			response := responseOf(t, v.validate(t, changing(test.operation, test.name, test.before, test.after)))
			if response.Allowed == (test.denied != nil) {
				t.Fatalf("allowed is %v: %+v", response.Allowed, response.Result)
			}
			for _, want := range test.denied {
				if !strings.Contains(response.Result.Message, want) || response.Result.Code != http.StatusForbidden {
					t.Errorf("%d %s, want %s in it", response.Result.Code, response.Result.Message, want)
				}
			}
			if len(response.Warnings) != len(test.warned) {
				t.Fatalf("the warnings are %q, want %q", response.Warnings, test.warned)
			}
			for i, want := range test.warned {
				if !strings.Contains(response.Warnings[i], want) || len(response.Warnings[i]) > 256 {
					t.Errorf("%q, want %q in it", response.Warnings[i], want)
				}
			}
			v.checkRecord(t, test.name, test.denied != nil, test.denied != nil || test.warned != nil)
		})
	}
}

// checkRecord checks the metric and the log.
func (v *validator) checkRecord(t *testing.T, name string, denied, logged bool) {
	t.Helper()
	outcome, counts := "allowed", [2]int{1, 0}
	if denied {
		outcome, counts = "denied", [2]int{0, 1}
	}
	want := fmt.Sprintf(`# HELP sidecar_injector_validations_total Changes of ConfigMaps with definitions `+
		`that were reviewed, by outcome.
# TYPE sidecar_injector_validations_total counter
sidecar_injector_validations_total{outcome="allowed"} %d
sidecar_injector_validations_total{outcome="denied"} %d
`, counts[0], counts[1])
	if err := testutil.GatherAndCompare(v.registry, strings.NewReader(want),
		"sidecar_injector_validations_total"); err != nil {
		t.Error(err)
	}
	events := v.log.events(t)
	if !logged {
		if len(events) > 0 {
			t.Errorf("the log is %v", events)
		}
		return
	}
	level := map[string]string{"denied": "warn", "allowed": "info"}[outcome]
	if len(events) != 1 || events[0]["message"] != "definitions reviewed" || events[0]["outcome"] != outcome ||
		events[0]["level"] != level || events[0]["duration_ms"] == nil ||
		events[0]["user"] != "alice" || events[0]["namespace"] != "sidecars" ||
		(name != "" && events[0]["name"] != name) {
		t.Errorf("the log is %v", events)
	}
}

// Other resources are allowed.
func TestValidatorOtherResource(t *testing.T) {
	t.Parallel()
	body := strings.ReplaceAll(changing("CREATE", "new", "null", `[1]`), `"configmaps"`, `"secrets"`)
	if response := responseOf(t, newValidator(t).validate(t, body)); !response.Allowed {
		t.Errorf("denied: %v", response.Result)
	}
}

func TestValidatorRefuses(t *testing.T) {
	t.Parallel()
	good := changing("CREATE", "new", "null", labelled("new", "injector", "name: new\n"))
	for name, body := range map[string]string{
		"nothing":       "",
		"no JSON":       "{",
		"no request":    `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}`,
		"no uid":        strings.Replace(good, `"uid":"u"`, `"uid":""`, 1),
		"wrong kind":    strings.Replace(good, "AdmissionReview", "Review", 1),
		"wrong version": strings.Replace(good, "admission.k8s.io/v1", "admission.k8s.io/v2", 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newValidator(t)
			if w := v.validate(t, body); w.Code != http.StatusBadRequest {
				t.Errorf("the response is %d %s", w.Code, w.Body)
			}
			v.checkRefused(t)
		})
	}
}

// Invalid objects are denied with an AdmissionReview. With another status than 200, failurePolicy Ignore would
// admit them.
func TestValidatorRejects(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"an array":       changing("CREATE", "new", "null", "[1]"),
		"data as a list": changing("CREATE", "new", "null", `{"metadata":{"labels":{"app":"injector"}},"data":[1]}`),
		"no base64": changing("CREATE", "new", "null",
			`{"metadata":{"labels":{"app":"injector"}},"binaryData":{"k":"%%%"}}`),
		"wrong time":  changing("CREATE", "new", "null", `{"metadata":{"creationTimestamp":"s3cr3t"}}`),
		"many labels": changing("CREATE", "new", "null", `{"metadata":{"labels":{`+manyKeys()+`}}}`),
		"many keys": changing("CREATE", "new", "null",
			`{"metadata":{"labels":{"app":"injector"}},"data":{`+manyKeys()+`}}`),
		"old as a text": changing("UPDATE", "new", `"x"`, labelled("new", "injector", "name: new\n")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newValidator(t)
			response := responseOf(t, v.validate(t, body))
			if response.Allowed || response.Result.Code != http.StatusBadRequest ||
				!strings.Contains(response.Result.Message, "not a ConfigMap") ||
				strings.Contains(response.Result.Message, "s3cr3t") {
				t.Errorf("the response is %v %+v", response.Allowed, response.Result)
			}
			v.checkRefused(t)
		})
	}
}

// manyKeys returns 10,001 members of an object.
func manyKeys() string {
	var members strings.Builder
	for n := range 10_001 {
		fmt.Fprintf(&members, `"k%d":"",`, n)
	}
	return strings.TrimSuffix(members.String(), ",")
}

// A ConfigMap that is not selected is allowed, and its data is not decoded.
func TestValidatorIgnoresDataOfOthers(t *testing.T) {
	t.Parallel()
	for _, data := range []string{`[1]`, `{` + manyKeys() + `}`} {
		object := `{"metadata":{"labels":{"app":"other"}},"data":` + data + `}`
		response := responseOf(t, newValidator(t).validate(t, changing("CREATE", "new", "null", object)))
		if !response.Allowed {
			t.Errorf("denied: %v", response.Result)
		}
	}
}

// checkRefused checks the metric and the log of an invalid review.
func (v *validator) checkRefused(t *testing.T) {
	t.Helper()
	want := `# HELP sidecar_injector_validations_total Changes of ConfigMaps with definitions ` +
		`that were reviewed, by outcome.
# TYPE sidecar_injector_validations_total counter
sidecar_injector_validations_total{outcome="allowed"} 0
sidecar_injector_validations_total{outcome="denied"} 1
`
	if err := testutil.GatherAndCompare(v.registry, strings.NewReader(want),
		"sidecar_injector_validations_total"); err != nil {
		t.Error(err)
	}
	if events := v.log.events(t); len(events) != 1 || events[0]["message"] != "request refused: not_a_review" {
		t.Errorf("the log is %v", events)
	}
}

// Nothing is denied while the ConfigMaps cannot be read, because an unknown base may exist.
func TestValidatorInTrouble(t *testing.T) {
	t.Parallel()
	v := newValidator(t)
	v.trouble = errors.New("is forbidden")
	response := responseOf(t, v.validate(t, changing("CREATE", "new", "null", labelled("new", "injector",
		"name: new\ninherits: missing\n"))))
	if !response.Allowed || len(response.Warnings) != 2 || !strings.Contains(response.Warnings[0],
		"cannot read the ConfigMaps: is forbidden") ||
		!strings.Contains(response.Warnings[1], "would be rejected: configmap sidecars/new[k]:2: inherits") {
		t.Errorf("allowed is %v, with %q", response.Allowed, response.Warnings)
	}
}

// A valid definition with parts that may be mistakes is allowed with warnings.
func TestValidatorWarns(t *testing.T) {
	t.Parallel()
	v := newValidator(t)
	v.publish("other", "name: other\ncontainers: [{name: a, image: a}]\n")
	create := func(content string) []string {
		response := responseOf(t, v.validate(t, changing("CREATE", "new", "null", labelled("new", "injector", content))))
		if !response.Allowed {
			t.Errorf("the response is %v", response.Result)
		}
		return response.Warnings
	}
	want := []string{
		"sidecar injector: configmap sidecars/new[k]:1: inJobs: not set, so pods of Jobs do not complete while the " +
			"containers run: set it to native or skip, or to keep if they exit",
		"sidecar injector: configmap sidecars/new[k]:2: containers[0].image: the image has neither a tag nor a digest",
		"sidecar injector: configmap sidecars/new[k]:2: containers[0].resources: no request for cpu and memory, " +
			"which autoscaling and quotas need",
	}
	if got := create("name: new\ncontainers: [{name: a, image: a}]\n"); !slices.Equal(got, want) {
		t.Errorf("the warnings are %q, want %q", got, want)
	}
	var containers strings.Builder
	for n := range 9 {
		fmt.Fprintf(&containers, "- {name: a%d, image: a}\n", n)
	}
	many := create("name: new\ncontainers:\n" + containers.String())
	if last := many[len(many)-1]; len(many) != 16 || last != "sidecar injector: and 4 more warnings" {
		t.Errorf("%d warnings, the last one is %s", len(many), last)
	}
}

// The warnings are so few that the API server passes on all of them.
func TestValidatorOfManyChildren(t *testing.T) {
	t.Parallel()
	v := newValidator(t)
	var children strings.Builder
	for n := range 60 {
		fmt.Fprintf(&children, "---\nname: child-%d\ninherits: base\n", n)
	}
	v.publish("children", children.String())
	deletion := changing("DELETE", "base", labelled("base", "injector", "name: base\n"), "null")
	warnings := responseOf(t, v.validate(t, deletion)).Warnings
	if last := warnings[len(warnings)-1]; len(warnings) != 9 ||
		!strings.HasSuffix(last, "this breaks 53 more documents") {
		t.Errorf("%d warnings, the last one is %s", len(warnings), last)
	}
	if size := len(strings.Join(warnings, "")); size > 4096 {
		t.Errorf("the warnings have %d bytes", size)
	}
}

// A change that waits for other trials is answered before its deadline.
func TestValidatorOverload(t *testing.T) {
	t.Parallel()
	v := newValidator(t)
	body := changing("CREATE", "new", "null", labelled("new", "injector", "name: new\n"))
	done := v.HoldTrials()
	request := httptest.NewRequest(http.MethodPost, "/validate?timeout=50ms", strings.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	v.ServeHTTP(w, request)
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("the response is %d %s", w.Code, w.Body)
	}
	done()
	if response := responseOf(t, v.validate(t, body)); !response.Allowed {
		t.Errorf("denied: %s", response.Result.Message)
	}
}

// lagging publishes after the first call of Current.
type lagging struct {
	*store.Store
	once    sync.Once
	publish func()
}

func (l *lagging) Current() *store.Snapshot {
	defer l.once.Do(l.publish)
	return l.Store.Current()
}

// The message of a denial has a limited length.
func TestValidatorOfManyMistakes(t *testing.T) {
	t.Parallel()
	v := newValidator(t)
	many := strings.Repeat("---\nx: 1\n", 1000)
	response := responseOf(t, v.validate(t, changing("CREATE", "new", "null", labelled("new", "injector", many))))
	if size := len(response.Result.Message); response.Allowed || size > 16<<10 ||
		!strings.HasSuffix(response.Result.Message, "and 1950 more") {
		t.Errorf("the message of %d bytes ends with %q", size, response.Result.Message[max(0, size-100):])
	}
	if size := len(v.log.String()); size > 16<<10 {
		t.Errorf("the log has %d bytes", size)
	}
}

// A change is denied only if its base does not arrive in time.
func TestValidatorWaitsForBase(t *testing.T) {
	t.Parallel()
	v := newValidator(t)
	late := &lagging{Store: v.snapshots, publish: func() { v.publish("later", "name: later\n") }}
	metrics, err := server.NewMetrics(prometheus.NewRegistry(), late)
	if err != nil {
		t.Fatal(err)
	}
	v.Validator = server.NewValidator(server.NewLanes(), late, &v.labelledConfigMaps, metrics, zerolog.Nop())
	response := responseOf(t, v.validate(t, changing("CREATE", "new", "null", labelled("new", "injector",
		"name: new\ninherits: later\n"))))
	if !response.Allowed {
		t.Errorf("denied: %s", response.Result.Message)
	}
}

// FuzzChange checks for panics and invalid responses.
func FuzzChange(f *testing.F) {
	for _, object := range []string{"null", "[1]", `{"data":{"k":"name: x"}}`, labelled("new", "injector", "name: [")} {
		f.Add(changing("CREATE", "new", "null", object))
		f.Add(changing("DELETE", "base", object, "null"))
	}
	v := newValidator(f)
	f.Fuzz(func(t *testing.T, body string) {
		w := v.validate(t, body)
		if !slices.Contains([]int{http.StatusOK, http.StatusBadRequest, http.StatusRequestEntityTooLarge}, w.Code) {
			t.Errorf("the response is %d %s", w.Code, w.Body)
		}
		if w.Code == http.StatusOK && !json.Valid(w.Body.Bytes()) {
			t.Errorf("the response is %s", w.Body)
		}
	})
}

// The stack of a panic is logged.
func TestValidatorLogsPanics(t *testing.T) {
	t.Parallel()
	v := newValidator(t)
	if !v.LogPanic(fmt.Errorf("loading: %w", &conf.PanicError{Stack: []byte("the stack")})) ||
		v.LogPanic(context.Canceled) {
		t.Error("a panic is not distinguished from another error")
	}
	if events := v.log.events(t); len(events) != 1 || events[0]["stack"] != "the stack" ||
		events[0]["level"] != "error" {
		t.Errorf("the log is %v", events)
	}
}

// Aliases that would expand to a gigabyte are denied.
func TestValidatorWithABomb(t *testing.T) {
	t.Parallel()
	bomb := "name: new\nx: &a \"" + strings.Repeat("s", 50_000) + "\"\ny: [" + strings.Repeat("*a,", 20_000) + "]\n"
	v := newValidator(t)
	response := responseOf(t, v.validate(t, changing("CREATE", "new", "null", labelled("new", "injector", bomb))))
	if response.Allowed || !strings.Contains(response.Result.Message, "may cost 8 MiB in all") {
		t.Errorf("the response is %.300v", response)
	}
}

// A trial ends when its client disconnects, before and after it starts.
func TestValidatorIsCancelled(t *testing.T) {
	t.Parallel()
	v := newValidator(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/validate", strings.NewReader(
			changing("CREATE", "new", "null", labelled("new", "injector", "name: new\n"))))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		if v.ServeHTTP(w, r); w.Code != http.StatusServiceUnavailable {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
}

// A client with a long timeout is answered before the timeout of the chart, 5 seconds.
func TestValidatorBoundsTheWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v := newValidator(t)
		done := v.HoldTrials()
		defer done()
		start := time.Now()
		w := review(t, v, changing("CREATE", "new", "null", labelled("new", "injector", "name: new\n")))
		if w.Code != http.StatusServiceUnavailable || time.Since(start) >= 5*time.Second {
			t.Errorf("the response is %d %s after %s", w.Code, w.Body, time.Since(start))
		}
	})
}
