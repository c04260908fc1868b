package mutate_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"k8s-sidecar-injector/mutate"
)

// consideredSidecars get into each other's way.
const consideredSidecars = `
name: a
serviceAccountName: logger
hostNetwork: true
containers: [{name: same, image: i}, {name: other, image: i, env: [{name: A}]}]
env: [{name: A, value: secret}, {name: X, value: secret}]
appliesTo: {containers: [web], initContainers: []}
volumes: [{name: one, emptyDir: {}}, {name: own, emptyDir: {}}]
volumeMounts: [{name: own, mountPath: /x}, {name: one, mountPath: /own}]
labels: {own: x, l: x}
hostAliases: [{ip: 10.0.0.1, hostnames: [a]}, {ip: 10.0.0.1, hostnames: [a]}]
tolerations: [{key: t, operator: Exists}, {key: own}]
---
name: b
serviceAccountName: logger
hostNetwork: true
containers: [{name: same, image: i}]
env: [{name: X, value: secret}]
envFrom: [{configMapRef: {name: m}}, {configMapRef: {name: m}}]
volumes: [{name: two, emptyDir: {}}, {name: one, emptyDir: {}}]
volumeMounts: [{name: one, mountPath: /one}, {name: two, mountPath: /two}]
labels: {l: z}
hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]
tolerations: [{key: t, operator: Exists, effect: NoExecute}, {key: t, operator: Exists}]
---
name: c
serviceAccountName: default
env: [{name: X}]
envFrom: [{configMapRef: {name: m}}]
volumes: [{name: three, emptyDir: {}}]
volumeMounts: [{name: three, mountPath: /two/}]
---
name: rival
serviceAccountName: rival
containers: [{name: same, image: j}, {name: web, image: i}]
volumes: [{name: one, hostPath: {path: /}}]
nodeSelector: {zone: b, own: x}
---
name: zone
serviceAccountName: logger
containers: [{name: same, image: i}]
volumes: [{name: one, emptyDir: {}}]
nodeSelector: {zone: a}
`

const consideredPod = `{"metadata": {"labels": {"own": ""}, "annotations": {"injector.tumblr.com/request": %q}}, "spec": {%s
	"nodeSelector": {"own": "y"}, "volumes": [{"name": "own"}], "tolerations": [{"key": "own"}],
	"initContainers": [{"name": "init"}],
	"containers": [{"name": "web", "env": [{"name": "A"}], "volumeMounts": [{"name": "own", "mountPath": "/own"}]}]}}`

// TestConsidered has the reason for everything that can be left.
func TestConsidered(t *testing.T) {
	t.Parallel()
	snapshot := load(t, []byte(consideredSidecars))
	const conflict = "it would be added, were there no conflict"
	for _, test := range []struct {
		asks, spec string
		want       []string
	}{
		{"a,b,c", "", []string{
			"a serviceAccountName logger", "b serviceAccountName logger: sidecar a:latest brought it already",
			"c serviceAccountName default: a pod that names none has it anyway",
			"a containers same", "a containers other", "b containers same: sidecar a:latest brought it already",
			"a volumes one", "a volumes own: the pod has it already", "b volumes two", "b volumes one: sidecar a:latest brought it already", "c volumes three",
			"a volumeMounts own init (init): appliesTo does not cover the container", "a volumeMounts one init (init): appliesTo does not cover the container",
			"a volumeMounts own web: the container uses the volume already", "a volumeMounts one web: the container has another volume at its path",
			"a volumeMounts own same", "a volumeMounts one same", "a volumeMounts own other", "a volumeMounts one other",
			"b volumeMounts one init (init)", "b volumeMounts two init (init)",
			"b volumeMounts one web", "b volumeMounts two web",
			"b volumeMounts one same: sidecar a:latest brought it already", "b volumeMounts two same",
			"b volumeMounts one other: sidecar a:latest brought it already", "b volumeMounts two other",
			"c volumeMounts three init (init): sidecar b:latest brought another volume at its path already",
			"c volumeMounts three web: sidecar b:latest brought another volume at its path already",
			"c volumeMounts three same: sidecar b:latest brought another volume at its path already",
			"c volumeMounts three other: sidecar b:latest brought another volume at its path already",
			"a env A init (init): appliesTo does not cover the container", "a env X init (init): appliesTo does not cover the container", "a env A web: the container has it already", "a env X web",
			"a env A same", "a env X same", "a env A other: the container has it already", "a env X other",
			"b env X init (init)", "b env X web: sidecar a:latest brought it already",
			"b env X same: sidecar a:latest brought it already", "b env X other: sidecar a:latest brought it already",
			"c env X init (init): sidecar b:latest brought it already", "c env X web: sidecar a:latest brought it already",
			"c env X same: sidecar a:latest brought it already", "c env X other: sidecar a:latest brought it already",
			"b envFrom configMapRef m init (init)", "b envFrom configMapRef m init (init)", "b envFrom configMapRef m web", "b envFrom configMapRef m web",
			"b envFrom configMapRef m same", "b envFrom configMapRef m same", "b envFrom configMapRef m other", "b envFrom configMapRef m other",
			"c envFrom configMapRef m init (init): sidecar b:latest brought it already", "c envFrom configMapRef m web: sidecar b:latest brought it already",
			"c envFrom configMapRef m same: sidecar b:latest brought it already", "c envFrom configMapRef m other: sidecar b:latest brought it already",
			"a hostNetwork true", "b hostNetwork true: sidecar a:latest brought it already",
			"a labels l", "a labels own: the pod has it already", "b labels l: sidecar a:latest brought it already",
			"a tolerations t op=Exists", "a tolerations own: the pod has it already",
			`a hostAliases {"hostnames":["a"],"ip":"10.0.0.1"}`, `a hostAliases {"hostnames":["a"],"ip":"10.0.0.1"}: sidecar a:latest brought it already`,
			"b tolerations t:NoExecute op=Exists", "b tolerations t op=Exists: sidecar a:latest brought it already",
			`b hostAliases {"hostnames":["a"],"ip":"10.0.0.1"}: sidecar a:latest brought it already`,
		}},
		{"zone,rival", "", []string{
			"zone serviceAccountName logger: " + conflict, "rival serviceAccountName rival: sidecar zone:latest brought another one already",
			"zone containers same: " + conflict, "rival containers same: sidecar zone:latest brought another one of that name already",
			"rival containers web: the pod has a container of that name",
			"zone volumes one: " + conflict, "rival volumes one: sidecar zone:latest brought another one of that name already",
			"zone nodeSelector zone: " + conflict, "rival nodeSelector own: the pod has another value of it",
			"rival nodeSelector zone: sidecar zone:latest brought another value of it already",
		}},
		{"zone", `"serviceAccountName": "mine",`, []string{
			"zone serviceAccountName logger: the pod has another one, \"mine\"",
			"zone containers same", "zone volumes one", "zone nodeSelector zone",
		}},
		{"missing", "", nil},
	} {
		t.Run(test.asks+test.spec, func(t *testing.T) {
			t.Parallel()
			c := &testCase{policy: usual(), request: creation(), object: fmt.Appendf(nil, consideredPod, test.asks, test.spec)}
			decision := decide(t, snapshot, c.policy, c.with(t, c.object))
			var got []string
			for _, e := range c.explained(t, snapshot, &decision) {
				got = append(got, told(&e))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func told(e *mutate.Considered) string {
	text := strings.TrimSpace(fmt.Sprintf("%s %s %s %s", e.Sidecar.Ref.Name, e.Field, e.Name, e.Container))
	if e.List == "initContainers" {
		text += " (init)"
	}
	if !e.Added {
		text += ": " + e.Why
	}
	return text
}

// Nobody pays for what only Explain wants: Pod allocates what it did before there was an Explain.
//
//nolint:paralleltest // AllocsPerRun counts those of the whole process
func TestAllocations(t *testing.T) {
	snapshot := load(t, read(t, "testdata/reviews/sidecars.yaml"))
	policy := usual()
	request := decodeReview(t, read(t, review))
	if got := testing.AllocsPerRun(200, func() { mutate.Pod(snapshot, policy, request) }); got > 25 {
		t.Errorf("a decision takes %v allocations", got)
	}
}

func BenchmarkExplain(b *testing.B) {
	snapshot := load(b, read(b, "testdata/reviews/sidecars.yaml"))
	policy := usual()
	request := decodeReview(b, read(b, review))
	if _, all := mutate.Explain(snapshot, policy, request); len(all) == 0 {
		b.Fatal("nothing was considered")
	}
	b.ReportAllocs()
	for b.Loop() {
		mutate.Explain(snapshot, policy, request)
	}
}
