package mutate_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"k8s-sidecar-injector/conf/podrules"
	"k8s-sidecar-injector/mutate"
)

// everyField has every field that is merged into a pod.
const everyField = `
name: all:v1
prependInitContainers: [{name: a, image: i}]
initContainers: [{name: b, image: i}]
prependContainers: [{name: c, image: i}]
containers: [{name: d, image: i}]
volumes: [{name: v, emptyDir: {}}]
volumeMounts: [{name: v, mountPath: /v}]
prependEnv: [{name: P, value: p}]
env: [{name: E, value: e}]
extendEnv: [{name: X, value: x}]
envFrom: [{secretRef: {name: s}}]
labels: {l: l}
annotations: {a: a}
extendAnnotations: {w: w}
nodeSelector: {zone: z}
imagePullSecrets: [{name: p}]
tolerations: [{key: t, operator: Exists}]
hostAliases: [{ip: 10.0.0.1, hostnames: [h]}]
topologySpreadConstraints: [{maxSkew: 1, topologyKey: z, whenUnsatisfiable: ScheduleAnyway}]
%s: true
serviceAccountName: account
priorityClassName: high
runtimeClassName: kata
affinity: {podAffinity: {}}
podSecurityContext: {runAsUser: 1, sysctls: [{name: a, value: b}], supplementalGroups: [1]}
dnsConfig: {nameservers: [10.0.0.1], searches: [a], options: [{name: a}]}
terminationGracePeriodSeconds: 60
`

// TestEveryFieldIsMerged checks that each field of a definition that concerns pods is merged into a pod.
// A new field fails the test until it is handled.
func TestEveryFieldIsMerged(t *testing.T) {
	t.Parallel()
	pending := make(map[string]bool)
	for field := range reflect.TypeFor[podrules.Definition]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		pending[name] = true
	}
	// hostPID and shareProcessNamespace exclude each other.
	for _, host := range []string{"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} {
		pod := []byte(`{"metadata":{"annotations":{"injector.tumblr.com/request":"all:v1"}},
			"spec":{"containers":[{"name":"app"}]}}`)
		snapshot := load(t, fmt.Appendf(nil, everyField, host))
		c := &testCase{policy: defaultPolicy(), object: pod, request: createRequest()}
		decision := decide(t, snapshot, c.policy, c.with(t, pod))
		if decision.Outcome != mutate.Injected {
			t.Fatal(text(&decision))
		}
		for _, e := range c.checkExplain(t, snapshot, &decision) {
			if e.Added {
				field, _, _ := strings.Cut(e.Field, ".")
				delete(pending, field)
			}
		}
	}
	for name := range pending {
		t.Errorf("field %s is not merged", name)
	}
}
