package mutate_test

import (
	"encoding/json"
	"strings"
	"testing"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/store"
)

const statusAnnotation = "injector.tumblr.com/status"

// markingSidecars has one sidecar for each way to be skipped.
const markingSidecars = `
name: logger:v1
containers: [{name: logger, image: logger}]
---
name: elsewhere
allowedNamespaces: [other]
---
name: pod-network
skipHostNetworkPods: true
---
name: windows
os: windows
---
name: no-jobs
inJobs: skip
---
name: required
parameters: {size: {}}
env: [{name: SIZE, value: "${size}"}]
---
name: clash
containers: [{name: app, image: app}]
`

// A pod that requests sidecars and is skipped is marked with the reason, once. Other pods stay unchanged.
func TestSkipPatch(t *testing.T) {
	t.Parallel()
	snapshot := load(t, []byte(markingSidecars))
	for name, c := range map[string]struct {
		annotations object
		namespace   *string
		spec        object
		want        string // the status afterwards
	}{
		"unknown":                {object{"request": "other"}, nil, nil, "skipped: unknown_sidecar"},
		"malformed":              {object{"request": "a b"}, nil, nil, "skipped: bad_request_annotation"},
		"not allowed":            {object{"request": "elsewhere"}, nil, nil, "skipped: not_allowed"},
		"host network":           {object{"request": "pod-network"}, nil, hostNetwork(), "skipped: host_network"},
		"other system":           {object{"request": "windows"}, nil, linux(), "skipped: other_os"},
		"job":                    {object{"request": "no-jobs"}, nil, object{"restartPolicy": "Never"}, "skipped: job"},
		"parameter":              {object{"request": "required"}, nil, nil, "skipped: bad_parameter"},
		"conflict":               {object{"request": "clash"}, nil, withContainer("app"), "skipped: conflict"},
		"another mark":           {object{"request": "other", "status": "skipped: x"}, nil, nil, "skipped: unknown_sidecar"},
		"request of a namespace": {nil, new("other"), nil, "skipped: unknown_sidecar"},
		"copy":                   {nil, new("logger:v1"), withContainer("logger"), "skipped: already_injected"},
		"injected before":        {object{"request": "logger:v1", "status": "injected"}, nil, nil, "injected"},
		"no request":             {nil, nil, nil, ""},
		"opted out":              {object{"request": "none"}, nil, nil, ""},
		"opted out of a default": {nil, new(""), nil, ""},
		"mirror pod":             {object{"request": "other", mirror: "x"}, nil, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			marked := newMarkTest(c.annotations, c.spec, c.namespace).mark(t, snapshot)
			if got := annotationsOf(t, marked)[statusAnnotation]; got != c.want {
				t.Errorf("the status is %q, want %q", got, c.want)
			}
		})
	}
}

// A mark does not keep a pod from being injected.
func TestMarkedPodIsInjected(t *testing.T) {
	t.Parallel()
	snapshot := load(t, []byte(markingSidecars))
	test := newMarkTest(object{"request": "logger:v1", "status": "skipped: unknown_sidecar"}, object{}, nil)
	decision := decide(t, snapshot, test.policy, test.with(t, test.object))
	if decision.Outcome != mutate.Injected {
		t.Fatal(text(&decision))
	}
	injected := annotationsOf(t, apply(t, test.object, decision.Patch))
	if got := injected[statusAnnotation]; got != "injected" {
		t.Errorf("the status is %q", got)
	}
}

// The patch applies to any pod, and a denial has none.
func TestSkipPatchOfDecisions(t *testing.T) {
	t.Parallel()
	skipped := mutate.Decision{
		Outcome: mutate.Skipped, Reason: mutate.ReasonUnknownSidecar, RequestedBy: mutate.SourceNamespace,
	}
	for _, pod := range []string{`{}`, `{"metadata":null}`, `{"metadata":{}}`, `{"metadata":{"annotations":null}}`} {
		request, err := mutate.NewPodCreate("default", []byte(pod))
		if err != nil {
			t.Fatal(err)
		}
		marked := apply(t, []byte(pod), defaultPolicy().SkipPatch(&request.Object, &skipped))
		if got := annotationsOf(t, marked)[statusAnnotation]; got != "skipped: unknown_sidecar" {
			t.Errorf("%s: the status is %q", pod, got)
		}
	}
	denied := skipped
	denied.Outcome = mutate.Denied
	if patch := defaultPolicy().SkipPatch(new(mutate.Object), &denied); patch != nil {
		t.Errorf("a denied pod gets %s", patch)
	}
}

// A mark must not be what makes an API server reject a pod.
func TestMarkFitsAnnotations(t *testing.T) {
	t.Parallel()
	snapshot := load(t, []byte(markingSidecars))
	const mark = len(statusAnnotation) + len("skipped: unknown_sidecar")
	taken := len("injector.tumblr.com/request") + len("other") + len("injector.tumblr.com/x")
	for room, marked := range map[int]bool{mark: true, mark - 1: false} {
		filling := strings.Repeat("x", conf.MostAnnotations-taken-room)
		test := newMarkTest(object{"request": "other", "x": filling}, nil, nil)
		if got := test.skipPatch(t, snapshot, test.object) != nil; got != marked {
			t.Errorf("marked with room for %d bytes: %v", room, got)
		}
	}
}

const mirror = "kubernetes.io/config.mirror"

func hostNetwork() object { return object{"hostNetwork": true} }

func linux() object { return object{"os": object{"name": "linux"}} }

func withContainer(name string) object { return object{"containers": []object{{"name": name}}} }

// newMarkTest returns a pod whose annotations have short names, reviewed with on-conflict: admit.
func newMarkTest(annotations, spec object, namespace *string) *testCase {
	own := object{}
	for name, value := range annotations {
		if name != mirror {
			name = "injector.tumblr.com/" + name
		}
		own[name] = value
	}
	policy := defaultPolicy()
	policy.OnConflict = mutate.Admit
	pod := encode(object{"metadata": object{"annotations": own}, "spec": spec})
	return &testCase{policy: policy, namespace: namespace, object: pod, request: createRequest()}
}

// mark reviews the pod and returns it with its mark, if it gets one. A second review does not change the pod.
func (c *testCase) mark(t *testing.T, snapshot *store.Snapshot) []byte {
	t.Helper()
	patch := c.skipPatch(t, snapshot, c.object)
	if patch == nil {
		return c.object
	}
	marked := apply(t, c.object, patch)
	if again := c.skipPatch(t, snapshot, marked); again != nil {
		t.Errorf("a second review changes the pod: %s", again)
	}
	return marked
}

func (c *testCase) skipPatch(t *testing.T, snapshot *store.Snapshot, pod []byte) []byte {
	t.Helper()
	request := c.with(t, pod)
	decision := decideWithDefault(t, c.namespace, snapshot, c.policy, request)
	return c.policy.SkipPatch(&decode(t, request).Object, &decision)
}

func annotationsOf(t *testing.T, pod []byte) map[string]string {
	t.Helper()
	var view struct {
		Metadata struct{ Annotations map[string]string }
	}
	if err := json.Unmarshal(pod, &view); err != nil {
		t.Fatal(err)
	}
	return view.Metadata.Annotations
}
