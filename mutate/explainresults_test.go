package mutate_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"k8s-sidecar-injector/mutate"
)

// overlappingSidecars have elements in common with each other and with overlappingPod.
const overlappingSidecars = `
name: a
serviceAccountName: logger
podSecurityContext:
  {runAsUser: 1, runAsGroup: 1, fsGroup: 1, supplementalGroups: [1, 2], sysctls: [{name: own, value: a}]}
dnsConfig: {nameservers: [10.0.0.1, 10.0.0.2], options: [{name: ndots, value: "2"}, {name: own}]}
affinity: {nodeAffinity: {}, podAffinity: {}}
terminationGracePeriodSeconds: 60
priorityClassName: high
runtimeClassName: kata
hostNetwork: true
containers: [{name: same, image: i}, {name: other, image: i, env: [{name: A}]}]
env: [{name: A, value: secret}, {name: X, value: secret}]
appliesTo: {containers: [web], initContainers: []}
volumes: [{name: one, emptyDir: {}}, {name: own, emptyDir: {}}]
volumeMounts: [{name: own, mountPath: /x}, {name: one, mountPath: /own}]
labels: {own: x, l: x}
hostAliases: [{ip: 10.0.0.1, hostnames: [a]}, {ip: 10.0.0.1, hostnames: [a]}]
tolerations: [{key: t, operator: Exists}, {key: own}]
topologySpreadConstraints:
- {maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}
- {maxSkew: 1, topologyKey: own, whenUnsatisfiable: DoNotSchedule}
---
name: b
serviceAccountName: logger
podSecurityContext: {runAsUser: 2, runAsGroup: 1, fsGroup: 1, supplementalGroups: [2], sysctls: [{name: b, value: b}]}
dnsConfig: {nameservers: [10.0.0.2, 10.0.0.3], searches: [a], options: [{name: ndots, value: "2"}]}
affinity: {podAffinity: {}, nodeAffinity: {}}
terminationGracePeriodSeconds: 90
priorityClassName: high
runtimeClassName: kata
hostNetwork: true
containers: [{name: same, image: i}]
env: [{name: X, value: secret}]
envFrom: [{configMapRef: {name: m}}, {configMapRef: {name: m}}]
volumes: [{name: two, emptyDir: {}}, {name: one, emptyDir: {}}]
volumeMounts: [{name: one, mountPath: /one}, {name: two, mountPath: /two}]
labels: {l: z}
hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]
tolerations: [{key: t, operator: Exists, effect: NoExecute}, {key: t, operator: Exists}]
topologySpreadConstraints:
- {maxSkew: 1, topologyKey: own, whenUnsatisfiable: ScheduleAnyway}
- {maxSkew: 2, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}
---
name: c
serviceAccountName: default
terminationGracePeriodSeconds: 90
env: [{name: X}]
envFrom: [{configMapRef: {name: m}}]
volumes: [{name: three, emptyDir: {}}]
volumeMounts: [{name: three, mountPath: /two/}]
---
name: rival
podSecurityContext: {fsGroup: 2, runAsGroup: 2}
dnsConfig: {options: [{name: ndots, value: "3"}]}
affinity: {nodeAffinity: {}}
serviceAccountName: rival
containers: [{name: same, image: j}, {name: web, image: i}]
volumes: [{name: one, hostPath: {path: /}}]
nodeSelector: {zone: b, own: x}
---
name: zone
podSecurityContext: {runAsGroup: 1}
dnsConfig: {options: [{name: ndots, value: "2"}]}
affinity: {podAffinity: {}}
serviceAccountName: logger
terminationGracePeriodSeconds: 30
containers: [{name: same, image: i}]
volumes: [{name: one, emptyDir: {}}]
nodeSelector: {zone: a}
---
name: scoped
appliesTo: {sidecars: [other], own: false}
containers: [{name: mine, image: i}]
initContainers: [{name: mine-too, image: i}]
env: [{name: S, value: secret}]
---
name: other
containers: [{name: others, image: i}]
---
name: third
containers: [{name: thirds, image: i}]
`

const overlappingPod = `{
	"metadata": {"labels": {"own": ""}, "annotations": {"injector.tumblr.com/request": %q}},
	"spec": {%s
	"securityContext": {"runAsUser": 1, "fsGroup": 1, "supplementalGroups": [1], "sysctls": [{"name": "own"}]},
	"dnsConfig": {"nameservers": ["10.0.0.1"], "options": [{"name": "own"}]}, "runtimeClassName": "own",
	"nodeSelector": {"own": "y"}, "volumes": [{"name": "own"}], "tolerations": [{"key": "own"}],
	"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "own", "whenUnsatisfiable": "DoNotSchedule"}],
	"initContainers": [{"name": "init"}],
	"containers": [{"name": "web", "env": [{"name": "A"}], "volumeMounts": [{"name": "own", "mountPath": "/own"}]}]}}`

// TestElementResults covers every reason for leaving an element out.
func TestElementResults(t *testing.T) {
	t.Parallel()
	snapshot := load(t, []byte(overlappingSidecars))
	const conflict = "not added because of the conflict"
	for _, test := range []struct {
		request, spec string
		want          []string
	}{
		{"a,b,c", "", []string{
			"a serviceAccountName logger",
			"b serviceAccountName logger: sidecar a:latest already adds it",
			"c serviceAccountName default: default applies to pods without a service account",
			"a hostNetwork true",
			"b hostNetwork true: sidecar a:latest already adds it",
			"a priorityClassName high",
			"b priorityClassName high: sidecar a:latest already adds it",
			"a runtimeClassName kata: the pod already has another one",
			"b runtimeClassName kata: the pod already has another one",
			"a terminationGracePeriodSeconds 60: sidecar b:latest adds a longer one",
			"b terminationGracePeriodSeconds 90",
			"c terminationGracePeriodSeconds 90: sidecar b:latest already adds it",
			"a affinity nodeAffinity, podAffinity",
			"b affinity nodeAffinity, podAffinity: sidecar a:latest already adds it",
			"a containers same",
			"a containers other",
			"b containers same: sidecar a:latest already adds it",
			"a volumes one",
			"a volumes own: the pod already has it",
			"b volumes two",
			"b volumes one: sidecar a:latest already adds it",
			"c volumes three",
			`a hostAliases {"hostnames":["a"],"ip":"10.0.0.1"}`,
			`a hostAliases {"hostnames":["a"],"ip":"10.0.0.1"}: sidecar a:latest already adds it`,
			`b hostAliases {"hostnames":["a"],"ip":"10.0.0.1"}: sidecar a:latest already adds it`,
			"a tolerations t op=Exists",
			"a tolerations own: the pod already has it",
			"b tolerations t:NoExecute op=Exists",
			"b tolerations t op=Exists: sidecar a:latest already adds it",
			"a topologySpreadConstraints zone:DoNotSchedule",
			"a topologySpreadConstraints own:DoNotSchedule: the pod already has it",
			"b topologySpreadConstraints own:ScheduleAnyway",
			"b topologySpreadConstraints zone:DoNotSchedule: sidecar a:latest already adds it",
			"a dnsConfig.nameservers 10.0.0.1: the pod already has it",
			"a dnsConfig.nameservers 10.0.0.2",
			"b dnsConfig.nameservers 10.0.0.2: sidecar a:latest already adds it",
			"b dnsConfig.nameservers 10.0.0.3",
			"b dnsConfig.searches a",
			"a dnsConfig.options ndots",
			"a dnsConfig.options own: the pod already has it",
			"b dnsConfig.options ndots: sidecar a:latest already adds it",
			"a podSecurityContext.supplementalGroups 1: the pod already has it",
			"a podSecurityContext.supplementalGroups 2",
			"b podSecurityContext.supplementalGroups 2: sidecar a:latest already adds it",
			"a podSecurityContext.sysctls own: the pod already has it",
			"b podSecurityContext.sysctls b",
			"a podSecurityContext fsGroup: the pod already has it",
			"a podSecurityContext runAsGroup",
			"a podSecurityContext runAsUser: the pod already has it",
			"b podSecurityContext fsGroup: the pod already has it",
			"b podSecurityContext runAsGroup: sidecar a:latest already adds it",
			"b podSecurityContext runAsUser: the pod already has another one",
			"a labels l",
			"a labels own: the pod already has it",
			"b labels l: sidecar a:latest already adds it",
			"a env A init (init): appliesTo does not cover the container",
			"a env X init (init): appliesTo does not cover the container",
			"a env A web: the container already has it",
			"a env X web",
			"a env A same",
			"a env X same",
			"a env A other: the container already has it",
			"a env X other",
			"b env X init (init)",
			"b env X web: sidecar a:latest already adds it",
			"b env X same: sidecar a:latest already adds it",
			"b env X other: sidecar a:latest already adds it",
			"c env X init (init): sidecar b:latest already adds it",
			"c env X web: sidecar a:latest already adds it",
			"c env X same: sidecar a:latest already adds it",
			"c env X other: sidecar a:latest already adds it",
			"b envFrom configMapRef m init (init)",
			"b envFrom configMapRef m init (init)",
			"b envFrom configMapRef m web",
			"b envFrom configMapRef m web",
			"b envFrom configMapRef m same",
			"b envFrom configMapRef m same",
			"b envFrom configMapRef m other",
			"b envFrom configMapRef m other",
			"c envFrom configMapRef m init (init): sidecar b:latest already adds it",
			"c envFrom configMapRef m web: sidecar b:latest already adds it",
			"c envFrom configMapRef m same: sidecar b:latest already adds it",
			"c envFrom configMapRef m other: sidecar b:latest already adds it",
			"a volumeMounts own init (init): appliesTo does not cover the container",
			"a volumeMounts one init (init): appliesTo does not cover the container",
			"a volumeMounts own web: the container already mounts the volume",
			"a volumeMounts one web: the container already has another volume at the path",
			"a volumeMounts own same",
			"a volumeMounts one same",
			"a volumeMounts own other",
			"a volumeMounts one other",
			"b volumeMounts one init (init)",
			"b volumeMounts two init (init)",
			"b volumeMounts one web",
			"b volumeMounts two web",
			"b volumeMounts one same: sidecar a:latest already adds it",
			"b volumeMounts two same",
			"b volumeMounts one other: sidecar a:latest already adds it",
			"b volumeMounts two other",
			"c volumeMounts three init (init): sidecar b:latest already adds another volume at the path",
			"c volumeMounts three web: sidecar b:latest already adds another volume at the path",
			"c volumeMounts three same: sidecar b:latest already adds another volume at the path",
			"c volumeMounts three other: sidecar b:latest already adds another volume at the path",
		}},
		{"zone,rival", `"terminationGracePeriodSeconds": 45,`, []string{
			"zone serviceAccountName logger: " + conflict,
			"rival serviceAccountName rival: sidecar zone:latest already adds another one",
			"zone terminationGracePeriodSeconds 30: the pod already has a longer one",
			"zone affinity podAffinity: not added because of the conflict",
			"rival affinity nodeAffinity: sidecar zone:latest already adds another one",
			"zone containers same: " + conflict,
			"rival containers same: sidecar zone:latest already adds another one",
			"rival containers web: the pod already has a container of that name",
			"zone volumes one: " + conflict,
			"rival volumes one: sidecar zone:latest already adds another one",
			"zone dnsConfig.options ndots: " + conflict,
			"rival dnsConfig.options ndots: sidecar zone:latest already adds another one",
			"zone nodeSelector zone: " + conflict, "rival nodeSelector own: the pod already has another one",
			"rival nodeSelector zone: sidecar zone:latest already adds another one",
			"zone podSecurityContext runAsGroup: " + conflict,
			"rival podSecurityContext fsGroup: the pod already has another one",
			"rival podSecurityContext runAsGroup: sidecar zone:latest already adds another one",
		}},
		{"zone", `"serviceAccountName": "mine", "affinity": {"podAffinity": {}},`, []string{
			"zone serviceAccountName logger: the pod already has another one",
			"zone terminationGracePeriodSeconds 30: the pod already has it",
			"zone affinity podAffinity: the pod already has another one",
			"zone containers same", "zone volumes one", "zone dnsConfig.options ndots",
			"zone nodeSelector zone", "zone podSecurityContext runAsGroup",
		}},
		{"scoped,other,third", "", []string{
			"scoped initContainers mine-too", "scoped containers mine", "other containers others", "third containers thirds",
			"scoped env S init (init)", "scoped env S web",
			"scoped env S mine-too (init): appliesTo does not cover the container",
			"scoped env S mine: appliesTo does not cover the container",
			"scoped env S others",
			"scoped env S thirds: appliesTo does not cover the container",
		}},
		{"missing", "", nil},
	} {
		t.Run(test.request+test.spec, func(t *testing.T) {
			t.Parallel()
			pod := fmt.Appendf(nil, overlappingPod, test.request, test.spec)
			c := &testCase{policy: defaultPolicy(), request: createRequest(), object: pod}
			decision := decide(t, snapshot, c.policy, c.with(t, c.object))
			var got []string
			for _, e := range c.checkExplain(t, snapshot, &decision) {
				got = append(got, resultText(&e))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestExtensionResults covers the results of extendEnv and extendAnnotations.
func TestExtensionResults(t *testing.T) {
	t.Parallel()
	snapshot := load(t, []byte(`
name: a
env: [{name: FROM, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
extendEnv: [{name: SET, value: a}, {name: NEW, value: a}, {name: FROM, value: a}, {name: EMPTY, value: ""}]
extendAnnotations: {list: "a,b", new: a, empty: ""}
appliesTo: {containers: [web]}
---
name: b
extendAnnotations: {list: a, new: "a,b"}
extendEnv: [{name: SET, value: b}, {name: NEW, value: a}]
`))
	pod := []byte(`{"metadata": {"annotations": {"injector.tumblr.com/request": "a,b", "list": "a"}},
		"spec": {"containers": [
		{"name": "web", "env": [{"name": "SET", "value": "x b"}], "envFrom": [{"configMapRef": {"name": "m"}}]},
		{"name": "other"}]}}`)
	c := &testCase{policy: defaultPolicy(), request: createRequest(), object: pod}
	decision := decide(t, snapshot, c.policy, c.with(t, c.object))
	var got []string
	for _, e := range c.checkExplain(t, snapshot, &decision) {
		text := resultText(&e)
		if e.Added && e.Why != "" {
			text += ", " + e.Why
		}
		got = append(got, text)
	}
	want := []string{
		"a extendAnnotations empty: the value is empty",
		"a extendAnnotations list",
		"a extendAnnotations new",
		"b extendAnnotations list: the value already contains it",
		"b extendAnnotations new",
		"a env FROM web, overrides a variable of that name in envFrom",
		"a env FROM other: appliesTo does not cover the container",
		"a extendEnv SET web",
		"a extendEnv NEW web, overrides a variable of that name in envFrom",
		"a extendEnv FROM web: the variable has valueFrom",
		"a extendEnv EMPTY web: the value is empty",
		"a extendEnv SET other: appliesTo does not cover the container",
		"a extendEnv NEW other: appliesTo does not cover the container",
		"a extendEnv FROM other: appliesTo does not cover the container",
		"a extendEnv EMPTY other: appliesTo does not cover the container",
		"b extendEnv SET web: the value already contains it",
		"b extendEnv NEW web: the value already contains it",
		"b extendEnv SET other",
		"b extendEnv NEW other",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func resultText(e *mutate.ElementResult) string {
	text := strings.TrimSpace(fmt.Sprintf("%s %s %s %s", e.Sidecar.Ref.Name, e.Field, e.Name, e.Container))
	if e.List == "initContainers" {
		text += " (init)"
	}
	if !e.Added {
		text += ": " + e.Why
	}
	return text
}

// TestAllocations checks that results for Explain do not slow down Pod.
//
//nolint:paralleltest // AllocsPerRun counts allocations of the whole process
func TestAllocations(t *testing.T) {
	snapshot := load(t, read(t, "testdata/reviews/sidecars.yaml"))
	policy := defaultPolicy()
	request := decodeReview(t, read(t, review))
	if got := testing.AllocsPerRun(200, func() { mutate.Pod(snapshot, policy, request) }); got > 25 {
		t.Errorf("a decision takes %v allocations", got)
	}
}

func BenchmarkExplain(b *testing.B) {
	snapshot := load(b, read(b, "testdata/reviews/sidecars.yaml"))
	policy := defaultPolicy()
	request := decodeReview(b, read(b, review))
	if _, all := mutate.Explain(snapshot, policy, request); len(all) == 0 {
		b.Fatal("no results")
	}
	b.ReportAllocs()
	for b.Loop() {
		mutate.Explain(snapshot, policy, request)
	}
}
