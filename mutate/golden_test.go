package mutate_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/store"
)

var update = flag.Bool("update", false, "update the golden files")

// TestCases runs every directory below testdata/cases. A case consists of
//
//	sidecars.yaml  the definitions in the snapshot
//	pod.yaml       the pod as received
//	policy.yaml    optional: changes to the default policy and to the CREATE request, and the
//	               default of the namespace
//
// and of golden files, which go test -update writes:
//
//	decision.txt   outcome, reason, message, warnings
//	patch.json     the patch, if the pod is injected
//	injected.yaml  the resulting pod, if it is injected
func TestCases(t *testing.T) {
	t.Parallel()
	const root = "testdata/cases"
	for _, name := range subdirectories(t, root) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			directory := filepath.Join(root, name)
			c := readCase(t, directory)
			snapshot := load(t, read(t, filepath.Join(directory, "sidecars.yaml")))
			compare(t, directory, c.outputs(t, snapshot), "sidecars.yaml", "pod.yaml", "policy.yaml")
		})
	}
}

// TestReviews runs reviews that were recorded from an API server. The golden files for NAME.json
// are in the directory NAME.
func TestReviews(t *testing.T) {
	t.Parallel()
	const root = "testdata/reviews"
	snapshot := load(t, read(t, filepath.Join(root, "sidecars.yaml")))
	files, err := filepath.Glob(filepath.Join(root, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no reviews: %v", err)
	}
	directories := subdirectories(t, root)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		directories = slices.DeleteFunc(directories, func(d string) bool { return d == name })
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			content := read(t, file)
			request, object := splitReview(t, content)
			c := &testCase{policy: defaultPolicy(), request: request, object: object}
			whole, split := decodeReview(t, content), decode(t, c.with(t, object))
			if split.DecodeObject = nil; !reflect.DeepEqual(whole, split) {
				t.Errorf("the review decodes to %+v", whole)
			}
			compare(t, filepath.Join(root, name), c.outputs(t, snapshot))
		})
	}
	if len(directories) > 0 {
		t.Errorf("golden files without a review: %v", directories)
	}
}

// testCase is one request under one policy.
type testCase struct {
	policy    *mutate.Policy
	namespace *string        // the default of the namespace
	request   map[string]any // without the object
	object    []byte         // JSON
}

// settings is the content of policy.yaml.
type settings struct {
	AnnotationNamespace string         `json:"annotationNamespace"`
	OnUnknown           mutate.Action  `json:"onUnknown"`
	OnConflict          mutate.Action  `json:"onConflict"`
	Default             *string        `json:"default"`
	Request             map[string]any `json:"request"`
}

func readCase(t *testing.T, directory string) *testCase {
	t.Helper()
	object, err := yaml.YAMLToJSONStrict(read(t, filepath.Join(directory, "pod.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	c := &testCase{policy: defaultPolicy(), object: object, request: map[string]any{
		"uid": "uid", "namespace": "default", "operation": "CREATE",
		"resource": map[string]any{"version": "v1", "resource": "pods"},
	}}
	content, err := os.ReadFile(filepath.Join(directory, "policy.yaml"))
	if os.IsNotExist(err) {
		return c
	}
	var s settings
	if err := yaml.UnmarshalStrict(content, &s); err != nil {
		t.Fatal(err)
	}
	set(&c.policy.AnnotationNamespace, s.AnnotationNamespace)
	set(&c.policy.OnUnknown, s.OnUnknown)
	set(&c.policy.OnConflict, s.OnConflict)
	c.namespace = s.Default
	maps.Copy(c.request, s.Request)
	return c
}

func set[T ~string](target *T, value T) {
	if value != "" {
		*target = value
	}
}

// outputs decides and returns the golden files by name.
func (c *testCase) outputs(t *testing.T, snapshot *store.Snapshot) map[string]string {
	t.Helper()
	decision := decideWithDefault(t, c.namespace, snapshot, c.policy, c.with(t, c.object))
	files := map[string]string{"decision.txt": text(&decision)}
	c.checkExplain(t, snapshot, &decision)
	if decision.Outcome != mutate.Injected {
		if decision.Patch != nil {
			t.Errorf("%s with a patch", decision.Outcome)
		}
		return files
	}
	injected := apply(t, c.object, decision.Patch)
	c.checkSecondReview(t, snapshot, injected)
	files["patch.json"] = lines(t, decision.Patch)
	shown, err := yaml.JSONToYAML(injected)
	if err != nil {
		t.Fatal(err)
	}
	files["injected.yaml"] = string(shown)
	return files
}

// with returns the request with an object.
func (c *testCase) with(tb testing.TB, object []byte) []byte {
	tb.Helper()
	request := maps.Clone(c.request)
	request["object"] = json.RawMessage(object)
	content, err := json.Marshal(request)
	if err != nil {
		tb.Fatal(err)
	}
	return content
}

// checkSecondReview reviews the result, as the API server does with reinvocationPolicy: IfNeeded.
// It also reviews the result without its status, as if a user had copied the pod.
func (c *testCase) checkSecondReview(tb testing.TB, snapshot *store.Snapshot, injected []byte) {
	tb.Helper()
	again := decideWithDefault(tb, c.namespace, snapshot, c.policy, c.with(tb, injected))
	if again.Reason != mutate.ReasonAlreadyInjected || again.Outcome != mutate.Skipped {
		tb.Errorf("second review: %s", text(&again))
	}
	status := strings.ReplaceAll(c.policy.AnnotationNamespace+"/status", "/", "~1")
	cleared := apply(tb, injected, fmt.Appendf(nil, `[{"op":"remove","path":"/metadata/annotations/%s"}]`, status))
	third := decideWithDefault(tb, c.namespace, snapshot, c.policy, c.with(tb, cleared))
	if third.Outcome == mutate.Injected {
		apply(tb, cleared, third.Patch)
	}
}

// apply applies a patch with the library that the API server uses.
func apply(tb testing.TB, object, patch []byte) []byte {
	tb.Helper()
	operations, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		tb.Fatalf("decode the patch: %v\n%s", err, patch)
	}
	result, err := operations.Apply(object)
	if err != nil {
		tb.Fatalf("apply the patch: %v\n%s\n%s", err, patch, object)
	}
	return result
}

// text returns the content of decision.txt.
func text(d *mutate.Decision) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s: %s\n", d.Outcome, d.Reason)
	for _, sidecar := range d.Sidecars {
		fmt.Fprintf(&out, "%s\n", sidecar.Ref)
	}
	if d.Cause != nil {
		fmt.Fprintf(&out, "%s\n", d.Message())
	}
	for _, warning := range d.Warnings {
		fmt.Fprintf(&out, "warning: %s\n", warning)
	}
	return out.String()
}

// lines formats a patch with one operation per line.
func lines(t *testing.T, patch []byte) string {
	t.Helper()
	var operations []json.RawMessage
	if err := json.Unmarshal(patch, &operations); err != nil {
		t.Fatalf("%v: %s", err, patch)
	}
	return "[\n" + string(bytes.Join(raw(operations), []byte(",\n"))) + "\n]\n"
}

func raw(list []json.RawMessage) [][]byte {
	pieces := make([][]byte, len(list))
	for i := range list {
		pieces[i] = list[i]
	}
	return pieces
}

// compare compares the files with those in the directory, or updates the directory. Any other file
// except for the inputs is an error.
func compare(t *testing.T, directory string, files map[string]string, inputs ...string) {
	t.Helper()
	if *update {
		write(t, directory, files, inputs)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		want, err := os.ReadFile(filepath.Join(directory, name))
		if err != nil {
			t.Errorf("%v: run go test ./mutate -update", err)
			continue
		}
		if diff := cmp.Diff(string(want), files[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", filepath.Join(directory, name), diff)
		}
	}
	for _, name := range extra(t, directory, files, inputs) {
		t.Errorf("%s is not a file of this case", filepath.Join(directory, name))
	}
}

func write(t *testing.T, directory string, files map[string]string, inputs []string) {
	t.Helper()
	if err := os.MkdirAll(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range extra(t, directory, files, inputs) {
		if err := os.Remove(filepath.Join(directory, name)); err != nil {
			t.Error(err)
		}
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(content), 0o644); err != nil {
			t.Error(err)
		}
	}
}

func extra(t *testing.T, directory string, files map[string]string, inputs []string) []string {
	t.Helper()
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Error(err)
	}
	var names []string
	for _, entry := range entries {
		if _, wanted := files[entry.Name()]; !wanted && !slices.Contains(inputs, entry.Name()) {
			names = append(names, entry.Name())
		}
	}
	return names
}

func subdirectories(t *testing.T, root string) []string {
	t.Helper()
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	return names
}

func read(tb testing.TB, path string) []byte {
	tb.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return content
}

// splitReview returns a recorded request without its object, and the object.
func splitReview(tb testing.TB, review []byte) (map[string]any, []byte) {
	tb.Helper()
	var r struct {
		Request map[string]json.RawMessage `json:"request"`
	}
	if err := json.Unmarshal(review, &r); err != nil {
		tb.Fatal(err)
	}
	request := make(map[string]any)
	for key, value := range r.Request {
		request[key] = value
	}
	return request, r.Request["object"]
}
