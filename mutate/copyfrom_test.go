package mutate_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"k8s-sidecar-injector/mutate"
)

const copyingSidecars = `
name: agent
serviceAccountName: agent
initContainers: [{name: first, image: i}]
containers:
- name: agent
  image: i
  env: [{name: OWN, value: own}]
  volumeMounts: [{name: own, mountPath: /own}, {name: other, mountPath: /two/}]
copyFrom:
- {env: [OWN, A, MISSING], volumeMounts: [data, own, token, missing]}
- {container: first, from: web, env: [A, B]}
- {container: first, from: absent, env: [A], volumeMounts: [data]}
---
name: second
containers: [{name: second, image: i}]
copyFrom: [{env: [A]}]
env: [{name: A, value: second}]
appliesTo: {containers: [], initContainers: []}
`

const copiedPod = `{
	"metadata": {"annotations": {"injector.tumblr.com/request": "agent,second"}},
	"spec": {
		"volumes": [{"name": "data"}, {"name": "own"}, {"name": "other"}, {"name": "token"}],
		"containers": [
			{
				"name": "app",
				"env": [{"name": "OWN"}, { "name":"A",  "value":"s3cr3t", "x": {"y": [1.50, null]} }],
				"volumeMounts": [
					{"name": "data", "mountPath": "/one", "x": 1}, {"name": "data", "mountPath": "/two"},
					{"name": "own", "mountPath": "/app"},
					{"name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
				]
			},
			{"name": "web", "env": [{"name": "A", "value": "s3cr3t"}, {"name": "B", "value": "s3cr3t"}]}
		]
	}
}`

// TestCopyResults covers every reason for not copying an element.
func TestCopyResults(t *testing.T) {
	t.Parallel()
	snapshot := load(t, []byte(copyingSidecars))
	c := &testCase{policy: defaultPolicy(), request: createRequest(), object: []byte(copiedPod)}
	decision := decide(t, snapshot, c.policy, c.with(t, c.object))
	var got []string
	for _, e := range c.checkExplain(t, snapshot, &decision) {
		if text := resultText(&e); strings.Contains(text, " copyFrom.") || strings.Contains(text, " env ") {
			got = append(got, strings.ReplaceAll(text, "copyFrom.volumeMounts", "copyFrom.mounts"))
		}
	}
	want := []string{
		"agent copyFrom.env OWN first (init)",
		"agent copyFrom.env A first (init)",
		"agent copyFrom.env MISSING first (init): the container to copy from does not have it",
		"agent copyFrom.mounts data first (init)",
		"agent copyFrom.mounts data first (init)",
		"agent copyFrom.mounts own first (init)",
		"agent copyFrom.mounts token first (init): mounts of the service account's token are replaced",
		"agent copyFrom.mounts missing first (init): the container to copy from does not have it",
		"agent copyFrom.env OWN agent: the container already has it",
		"agent copyFrom.env A agent",
		"agent copyFrom.env MISSING agent: the container to copy from does not have it",
		"agent copyFrom.mounts data agent",
		"agent copyFrom.mounts data agent: the container already has another volume at the path",
		"agent copyFrom.mounts own agent: the container already mounts the volume",
		"agent copyFrom.mounts token agent: mounts of the service account's token are replaced",
		"agent copyFrom.mounts missing agent: the container to copy from does not have it",
		"agent copyFrom.env A first (init): sidecar agent:latest already adds it",
		"agent copyFrom.env B first (init)",
		"agent copyFrom.env A first (init): the pod does not have the container to copy from",
		"agent copyFrom.mounts data first (init): the pod does not have the container to copy from",
		"second copyFrom.env A second",
		"second env A app: appliesTo does not cover the container",
		"second env A web: appliesTo does not cover the container",
		"second env A first (init): sidecar agent:latest already adds it",
		"second env A agent: sidecar agent:latest already adds it",
		"second env A second: sidecar second:latest already adds it",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// An element is copied as received. Only the patch has its value.
func TestCopiesAreAsReceived(t *testing.T) {
	t.Parallel()
	snapshot := load(t, []byte(copyingSidecars))
	decision, results := mutate.Explain(snapshot, defaultPolicy(), decode(t, creating([]byte(copiedPod))))
	for _, element := range []string{
		`{ "name":"A",  "value":"s3cr3t", "x": {"y": [1.50, null]} }`, `{"name": "data", "mountPath": "/one", "x": 1}`,
	} {
		if !bytes.Contains(decision.Patch, []byte(element)) {
			t.Errorf("no %s in the patch: %s", element, decision.Patch)
		}
	}
	if shown := fmt.Sprint(decision.Warnings, decision.Message(), results); strings.Contains(shown, "s3cr3t") {
		t.Errorf("a value is shown: %s", shown)
	}
}

// A variable that extendEnv extends keeps the unknown fields of the copied one.
func TestExtendedCopyKeepsUnknownFields(t *testing.T) {
	t.Parallel()
	snapshot := load(t, []byte("name: agent\ncontainers: [{name: agent, image: i}]\ncopyFrom: [{env: [A]}]\n"+
		"appliesTo: {containers: []}\nextendEnv: [{name: A, value: b, separator: ','}]"))
	decision := decide(t, snapshot, defaultPolicy(), creating([]byte(`{
		"metadata": {"annotations": {"injector.tumblr.com/request": "agent"}},
		"spec": {"containers": [{"name": "app", "env": [{"x": 1.50, "name": "A", "value": "a"}]}]}}`)))
	if want := `"env":[{"name":"A","value":"a,b","x":1.50}]`; !bytes.Contains(decision.Patch, []byte(want)) {
		t.Errorf("no %s in the patch: %s", want, decision.Patch)
	}
}

// Copies count towards the limit of what is added to a pod.
func TestCopiesAreLimited(t *testing.T) {
	t.Parallel()
	snapshot := load(t, []byte("name: agent\ncontainers: ["+repeat("{name: c#, image: i}", 4)+"]\ncopyFrom: [{env: [A]}]"))
	for size, want := range map[int]mutate.Reason{300 << 10: mutate.ReasonInjected, 500 << 10: mutate.ReasonConflict} {
		pod := fmt.Sprintf(`{"metadata":{"annotations":{"injector.tumblr.com/request":"agent"}},"spec":{"containers":[
			{"name":"app","env":[{"name":"A","value":"%s"}]}]}}`, strings.Repeat("x", size))
		if decision := decide(t, snapshot, defaultPolicy(), creating([]byte(pod))); decision.Reason != want {
			t.Errorf("%d bytes: %s, want %s", size, text(&decision), want)
		}
	}
}

// Mounts that are not copied count as well, because a hostile pod has many, and a sidecar has many containers.
func TestLookupsOfCopiesAreLimited(t *testing.T) {
	t.Parallel()
	for containers, conflict := range map[int]bool{10: false, 160: true} {
		snapshot := load(t, fmt.Appendf(nil, "name: agent\ncontainers: [%s]\ncopyFrom: [{volumeMounts: [v]}]",
			repeat("{name: c#, image: i, volumeMounts: [{name: v, mountPath: /own}]}", containers)))
		pod := fmt.Sprintf(`{"metadata":{"annotations":{"injector.tumblr.com/request":"agent"}},"spec":{
			"volumes":[{"name":"v"}],"containers":[{"name":"app","volumeMounts":[%s]}]}}`,
			repeat(`{"name":"v","mountPath":"/v#"}`, 9999))
		decision := mutate.Pod(snapshot, defaultPolicy(), decode(t, creating([]byte(pod))))
		if got := decision.Reason == mutate.ReasonConflict; got != conflict {
			t.Errorf("%d containers: %s", containers, text(&decision))
		}
	}
}

// What the pod lacks does not count, although it has results.
func TestMissingCopiesAreNotLimited(t *testing.T) {
	t.Parallel()
	entry := "{env: [" + repeat("A#", 100) + "], volumeMounts: [" + repeat("v#", 100) + "]}"
	snapshot := load(t, fmt.Appendf(nil, "name: agent\ncontainers: [%s]\ncopyFrom: [{container: c0, env: [A]}, %s]",
		repeat("{name: c#, image: i}", 16), repeat(entry, 31)))
	pod := fmt.Sprintf(`{"metadata":{"annotations":{"injector.tumblr.com/request":"agent"}},"spec":{"containers":[
		{"name":"app","env":[{"name":"A","value":"%s"}]}]}}`, strings.Repeat("x", 3<<19-50_000))
	decision, results := mutate.Explain(snapshot, defaultPolicy(), decode(t, creating([]byte(pod))))
	if decision.Outcome != mutate.Injected || len(results) != 16*(1+31*200)+1 {
		t.Errorf("%s with %d results", text(&decision), len(results))
	}
}
