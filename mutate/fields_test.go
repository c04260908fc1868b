package mutate_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"k8s-sidecar-injector/conf"
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
env: [{name: E, value: e}]
envFrom: [{secretRef: {name: s}}]
labels: {l: l}
annotations: {a: a}
nodeSelector: {zone: z}
imagePullSecrets: [{name: p}]
tolerations: [{key: t, operator: Exists}]
hostAliases: [{ip: 10.0.0.1, hostnames: [h]}]
%s: true
serviceAccountName: account
`

// notMerged are the fields of a sidecar that are not merged into a pod.
func notMerged() []string {
	return []string{
		"Ref", "Origin", "Digest", "Stale", "Level", // describe the sidecar
		"AppliesTo", "AllowedNamespaces", "SkipHostNetworkPods", // restrict its use
		"Parameters", // are replaced by values
	}
}

// TestEveryFieldIsMerged checks that each field of a sidecar is either merged into a pod or in the
// list of fields that are not. A new field of conf.Sidecar fails the test until it is handled.
func TestEveryFieldIsMerged(t *testing.T) {
	t.Parallel()
	pending := make(map[string]bool)
	sidecar := reflect.TypeFor[conf.Sidecar]()
	for field := range sidecar.Fields() {
		if field.IsExported() {
			pending[field.Name] = true
		}
	}
	for _, name := range notMerged() {
		if !pending[name] {
			t.Errorf("conf.Sidecar has no field %s", name)
		}
		delete(pending, name)
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
				delete(pending, strings.ToUpper(e.Field[:1])+e.Field[1:])
			}
		}
	}
	for name := range pending {
		t.Errorf("field %s of conf.Sidecar is neither merged nor in notMerged", name)
	}
}
