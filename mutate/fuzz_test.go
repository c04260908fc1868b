package mutate_test

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/mutate/jsonview"
	"k8s-sidecar-injector/store"
)

// FuzzPod compares Pod with the oracle for generated pods and sidecars.
func FuzzPod(f *testing.F) {
	for seed := range uint64(600) {
		f.Add(randomBytes(f, seed, 200+2*int(seed)))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		g := &generator{bytes: input}
		definitions, written := g.sidecars()
		pod := g.pod()
		snapshot, _ := tryLoad(written)
		definitions = slices.DeleteFunc(definitions, func(d *definition) bool {
			ref, err := conf.ParseRef(d.Name)
			return err != nil || snapshot.Sidecar(ref) == nil // rejected
		})
		again, _ := tryLoad(written)
		digests := make(map[string]string)
		for sidecar := range snapshot.Sidecars() {
			digests[sidecar.Ref.String()] = sidecar.Digest[:12]
		}
		for _, namespace := range []*string{nil, new("logger:v1")} {
			c := &testCase{policy: defaultPolicy(), namespace: namespace, object: pod, request: createRequest()}
			c.checkAgainstOracle(t, snapshot, definitions, digests)
		}
		checkUnchanged(t, snapshot, again)
		if t.Failed() {
			t.Logf("sidecars: %s\npod: %s", written, pod)
		}
	})
}

// checkAgainstOracle compares a decision and the resulting pod with those of the oracle.
func (c *testCase) checkAgainstOracle(
	t *testing.T, snapshot *store.Snapshot, definitions []*definition, digests map[string]string,
) {
	t.Helper()
	decision := decideWithDefault(t, c.namespace, snapshot, c.policy, c.with(t, c.object))
	want, err := expect(c.object, c.namespace, definitions, digests)
	if err != nil {
		t.Fatal(err)
	}
	if decision.Reason != want.reason {
		t.Errorf("got %s, want %s", text(&decision), want.reason)
		return
	}
	c.checkExplain(t, snapshot, &decision)
	if decision.Outcome != mutate.Injected {
		c.mark(t, snapshot)
		return
	}
	injected := apply(t, c.object, decision.Patch)
	same(t, want, injected)
	checkSurvives(t, want, c.object, injected)
	c.checkSecondReview(t, snapshot, injected)
	c.checkCompletion(t, snapshot, want, injected)
	if t.Failed() {
		t.Logf("patch: %s", decision.Patch)
	}
}

// checkCompletion reviews the injected pod again, with a container that another webhook has added since.
func (c *testCase) checkCompletion(t *testing.T, snapshot *store.Snapshot, want *expected, injected []byte) {
	t.Helper()
	late := corev1.Container{
		Name: "b-late", Image: "late", Env: []corev1.EnvVar{{Name: "A", Value: "late"}},
		VolumeMounts: []corev1.VolumeMount{{Name: "logs", MountPath: "/data"}},
	}
	for _, list := range []string{"containers", "initContainers"} {
		pod := objectOf(t, injected)
		if pod["spec"] == nil {
			pod["spec"] = object{}
		}
		spec := memberOf(pod, "spec")
		containers, _ := spec[list].([]any)
		spec[list] = append(containers, late)
		again := *c
		again.object = encode(pod)
		completed, changed := want.complete(list, &late)
		decision := decideWithDefault(t, c.namespace, snapshot, c.policy, c.with(t, again.object))
		if changed != (decision.Reason == mutate.ReasonCompleted) || !changed && decision.Outcome != mutate.Skipped {
			t.Errorf("with another of the %s, got %s, want it completed: %t", list, text(&decision), changed)
			continue
		}
		again.checkExplain(t, snapshot, &decision)
		if changed {
			again.object = apply(t, again.object, decision.Patch)
			same(t, &expected{pod: completed, account: want.account}, again.object)
			again.checkSecondReview(t, snapshot, again.object)
		}
	}
}

// same compares the resulting pod with that of the oracle.
func same(t *testing.T, want *expected, injected []byte) {
	t.Helper()
	got := new(corev1.Pod)
	if err := json.Unmarshal(injected, got); err != nil {
		t.Fatalf("%v: %s", err, injected)
	}
	// The deprecated alias follows the account if the pod has the alias. In the typed pod, an empty
	// alias looks like none.
	if want.account {
		if alias := got.Spec.DeprecatedServiceAccount; alias != "" && alias != want.pod.Spec.ServiceAccountName {
			t.Errorf("serviceAccount is %s", alias)
		}
		if got.Spec.DeprecatedServiceAccount == "" && want.pod.Spec.DeprecatedServiceAccount != "" {
			t.Errorf("serviceAccount is missing")
		}
		want.pod.Spec.DeprecatedServiceAccount, got.Spec.DeprecatedServiceAccount = "", ""
	}
	if !equality.Semantic.DeepEqual(want.pod, got) {
		t.Errorf("the pod (-want +got):\n%s", cmp.Diff(want.pod, got, cmpopts.EquateEmpty()))
	}
}

// checkSurvives checks that the result contains all of the pod as received, including unknown
// fields, except for what the oracle removed.
func checkSurvives(t *testing.T, want *expected, pod, injected []byte) {
	t.Helper()
	var before, after any
	if err := json.Unmarshal(pod, &before); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(injected, &after); err != nil {
		t.Fatal(err)
	}
	failed := t.Failed()
	checkValueSurvives(t, want, "", before, after)
	if !failed && t.Failed() {
		t.Log("if a sidecar may replace or remove this value, add it to mayChange")
	}
}

func checkValueSurvives(t *testing.T, want *expected, path string, before, after any) {
	t.Helper()
	switch before := before.(type) {
	case object:
		after, _ := after.(object)
		for key, value := range before {
			next := path + "." + key
			switch got, found := after[key]; {
			case mayChange(want, next):
			case !found:
				t.Errorf("%s is missing", next)
			default:
				checkValueSurvives(t, want, next, value, got)
			}
		}
	case []any:
		after, _ := after.([]any)
		kept := slices.DeleteFunc(slices.Clone(before), func(e any) bool { return want.removes(path, e) })
		first := want.prepended(path, kept, after)
		if len(after) < first+len(kept) {
			t.Errorf("%s has %d elements, want at least %d", path, len(after), first+len(kept))
			return
		}
		after = after[first:]
		for i := range kept {
			checkValueSurvives(t, want, path+"[]", kept[i], after[i])
		}
	case nil: // may become a list
	default:
		if !reflect.DeepEqual(before, after) {
			t.Errorf("%s was %v, is %v", path, before, after)
		}
	}
}

// prepended returns the number of elements before the kept ones of the pod.
func (e *expected) prepended(path string, kept, after []any) int {
	switch {
	case strings.HasSuffix(path, ".envFrom"):
		return max(len(after)-len(kept), 0)
	case strings.HasSuffix(path, ".env") && len(kept) > 0:
		first, _ := kept[0].(object)
		return slices.IndexFunc(objects(after), func(o object) bool { return nameOf(o) == nameOf(first) })
	}
	return e.offset[strings.TrimPrefix(path, ".spec.")]
}

// mayChange reports whether an injection may change or remove the field.
func mayChange(want *expected, path string) bool {
	switch path {
	case ".metadata.annotations.injector.tumblr.com/status", ".metadata.annotations.injector.tumblr.com/injected",
		".spec.hostNetwork", ".spec.hostPID", ".spec.hostIPC",
		".spec.terminationGracePeriodSeconds", ".spec.affinity":
		return true
	case ".metadata.annotations.list", ".metadata.annotations.other", ".metadata.annotations." + defaultContainer:
		return want.words
	case ".spec.containers[].env[].value", ".spec.initContainers[].env[].value":
		return want.extends
	case ".spec.serviceAccountName", ".spec.serviceAccount":
		return want.account
	case ".spec.priorityClassName", ".spec.priority", ".spec.preemptionPolicy":
		return want.priority
	}
	return false
}

// removes reports whether an injection removes the element.
func (e *expected) removes(path string, element any) bool {
	o, _ := element.(object)
	switch {
	case !e.tokens || o == nil:
		return false
	case path == ".spec.volumes":
		name, _ := o["name"].(string)
		return e.dropped[name]
	case strings.HasSuffix(path, ".volumeMounts"):
		return o["mountPath"] == token
	}
	return false
}

// FuzzRequest reviews arbitrary bytes. A request that decodes must not panic, and its patch must
// apply to the object as received.
func FuzzRequest(f *testing.F) {
	snapshot := load(f, read(f, "testdata/reviews/sidecars.yaml"))
	files, err := filepath.Glob("testdata/reviews/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		f.Add(requestOf(f, read(f, file)))
	}
	for seed := range uint64(40) {
		g := &generator{bytes: randomBytes(f, seed, 400)}
		f.Add(creating(g.pod()))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		checkView(t, input)
		var received struct {
			Object jsontext.Value `json:"object"`
		}
		if jsonv2.Unmarshal(input, new(mutate.Request)) != nil || jsonv2.Unmarshal(input, &received) != nil {
			return // not a request
		}
		decision := decide(t, snapshot, defaultPolicy(), input)
		if decision.Outcome == mutate.Injected {
			apply(t, received.Object, decision.Patch)
		}
	})
}

// checkView checks that the view of the webhook decodes a request as the library does, or not at all. Only names that
// it skips may occur twice.
func checkView(t *testing.T, input []byte) {
	t.Helper()
	got, want := new(mutate.Request), new(mutate.Request)
	if !jsonview.Of[mutate.Request]().Unmarshal(input, got) {
		return
	}
	if err := jsonv2.Unmarshal(input, want, jsontext.AllowDuplicateNames(true)); err != nil {
		t.Errorf("the view accepts %s: %v", input, err)
	} else if !reflect.DeepEqual(got, want) {
		t.Errorf("the view decodes %s as %+v, want %+v", input, got, want)
	}
}

func requestOf(tb testing.TB, review []byte) []byte {
	tb.Helper()
	var r struct {
		Request json.RawMessage `json:"request"`
	}
	if err := json.Unmarshal(review, &r); err != nil {
		tb.Fatal(err)
	}
	return r.Request
}
