package mutate_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"k8s-sidecar-injector/conf/podrules"
	"k8s-sidecar-injector/mutate"
)

// everyField has a definition with each field that is merged into a pod, and a value of the pod's own that changes what
// the definition adds.
var everyField = []struct{ definition, own string }{
	{"prependInitContainers: [{name: a, image: i}]", "spec: {initContainers: [{name: a}]}"},
	{"initContainers: [{name: a, image: i}]", "spec: {initContainers: [{name: a}]}"},
	{"prependContainers: [{name: a, image: i}]", "spec: {containers: [{name: a}]}"},
	{"containers: [{name: a, image: i}]", "spec: {containers: [{name: a}]}"},
	{"volumes: [{name: v, emptyDir: {}}]", "spec: {volumes: [{name: v}]}"},
	{
		"{volumes: [{name: v, emptyDir: {}}], volumeMounts: [{name: v, mountPath: /v}]}",
		"spec: {containers: [{name: app, volumeMounts: [{name: own, mountPath: /v}]}]}",
	},
	{"prependEnv: [{name: A, value: a}]", "spec: {containers: [{name: app, env: [{name: A, value: own}]}]}"},
	{"env: [{name: A, value: a}]", "spec: {containers: [{name: app, env: [{name: A, value: own}]}]}"},
	{"extendEnv: [{name: A, value: a}]", "spec: {containers: [{name: app, env: [{name: A, value: own}]}]}"},
	{"envFrom: [{secretRef: {name: s}}]", "spec: {containers: [{name: app, envFrom: [{secretRef: {name: s}}]}]}"},
	{"labels: {a: a}", "metadata: {labels: {a: own}}"},
	{"annotations: {a: a}", "metadata: {annotations: {a: own}}"},
	{"extendAnnotations: {a: a}", "metadata: {annotations: {a: own}}"},
	{"nodeSelector: {a: a}", "spec: {nodeSelector: {a: own}}"},
	{"imagePullSecrets: [{name: a}]", "spec: {imagePullSecrets: [{name: a}]}"},
	{"tolerations: [{key: a, operator: Exists}]", "spec: {tolerations: [{key: a, operator: Exists}]}"},
	{
		"hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]",
		"spec: {hostAliases: [{ip: 10.0.0.1, hostnames: [own]}]}",
	},
	{
		"topologySpreadConstraints: [{maxSkew: 1, topologyKey: a, whenUnsatisfiable: ScheduleAnyway}]",
		"spec: {topologySpreadConstraints: [{maxSkew: 2, topologyKey: a, whenUnsatisfiable: ScheduleAnyway}]}",
	},
	{"hostNetwork: true", "spec: {hostNetwork: true}"},
	{"hostPID: true", "spec: {hostPID: true}"},
	{"hostIPC: true", "spec: {hostIPC: true}"},
	{"shareProcessNamespace: true", "spec: {shareProcessNamespace: true}"},
	{"serviceAccountName: a", "spec: {serviceAccountName: own}"},
	{"priorityClassName: a", "spec: {priorityClassName: own}"},
	{"runtimeClassName: a", "spec: {runtimeClassName: own}"},
	{"affinity: {podAffinity: {}}", "spec: {affinity: {nodeAffinity: {}}}"},
	{"podSecurityContext: {runAsUser: 1}", "spec: {securityContext: {runAsUser: 2}}"},
	{"podSecurityContext: {supplementalGroups: [1]}", "spec: {securityContext: {supplementalGroups: [1]}}"},
	{
		"podSecurityContext: {sysctls: [{name: a, value: a}]}",
		"spec: {securityContext: {sysctls: [{name: a, value: own}]}}",
	},
	{"dnsConfig: {nameservers: [10.0.0.1]}", "spec: {dnsConfig: {nameservers: [10.0.0.1]}}"},
	{"dnsConfig: {searches: [a]}", "spec: {dnsConfig: {searches: [a]}}"},
	{"dnsConfig: {options: [{name: a}]}", "spec: {dnsConfig: {options: [{name: a, value: own}]}}"},
	{"terminationGracePeriodSeconds: 60", "spec: {terminationGracePeriodSeconds: 90}"},
}

// TestEveryFieldIsMerged checks that each field of a definition that concerns pods is merged into a pod, and compared
// with the value of the pod. A new field fails the test until it is handled.
func TestEveryFieldIsMerged(t *testing.T) {
	t.Parallel()
	pending := make(map[string]bool)
	for field := range reflect.TypeFor[podrules.Definition]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		pending[name] = true
	}
	bare := parse(t, []byte(`
metadata: {annotations: {injector.tumblr.com/request: "a:v1"}}
spec: {containers: [{name: app}]}`))
	for _, field := range everyField {
		snapshot := load(t, encode(overlaid(parse(t, []byte(field.definition)), object{"name": "a:v1"})))
		review := func(pod any) (mutate.Decision, []mutate.ElementResult) {
			c := &testCase{policy: defaultPolicy(), object: encode(pod), request: createRequest()}
			decision := decide(t, snapshot, c.policy, c.with(t, c.object))
			return decision, c.checkExplain(t, snapshot, &decision)
		}
		added, elements := review(bare)
		if added.Outcome != mutate.Injected {
			t.Errorf("%s: %s", field.definition, text(&added))
		}
		for _, e := range elements {
			if e.Added {
				name, _, _ := strings.Cut(e.Field, ".")
				delete(pending, name)
			}
		}
		compared, _ := review(overlaid(bare, parse(t, []byte(field.own))))
		if compared.Reason == added.Reason && bytes.Equal(compared.Patch, added.Patch) {
			t.Errorf("%s is added to a pod with %s as if the pod had no value; if specDetails has the value, "+
				"needsDetails must have the field", field.definition, field.own)
		}
	}
	for name := range pending {
		t.Errorf("field %s is not merged, or everyField lacks it", name)
	}
}
