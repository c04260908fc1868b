package podrules_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"k8s-sidecar-injector/conf/podrules"
)

// texts returns the faults as an author reads them.
func texts(faults field.ErrorList) []string {
	var list []string
	for _, fault := range faults {
		list = append(list, fault.Error())
	}
	return list
}

func parse[T any](tb testing.TB, text string) *T {
	tb.Helper()
	parsed := new(T)
	if err := yaml.UnmarshalStrict([]byte(text), parsed); err != nil {
		tb.Fatal(err)
	}
	return parsed
}

// The paths are those of the definition as written.
func TestNativeFaults(t *testing.T) {
	t.Parallel()
	d := parse[podrules.Definition](t, `
prependInitContainers: [{name: a, image: i}, {name: b}]
initContainers:
- {name: c}
- {name: d, image: i, ports: [{containerPort: 1, hostPort: 2}, {containerPort: 3, hostPort: 2}]}
prependContainers: [{name: e, image: i, livenessProbe: {exec: {command: [a]}}}, {name: f}]
containers: [{name: g, image: i, lifecycle: {preStop: {exec: {command: [a]}}}}, {name: a, image: i}]
env: [{name: "a b"}]`)
	want := []string{
		"containers[1].name: Duplicate value",
		"env[0].name: Invalid value: a valid environment variable name",
		"initContainers: Duplicate value: a container has the same hostPort twice",
		"initContainers[0].image: Required value",
		"prependContainers[1].image: Required value",
		"prependInitContainers[1].image: Required value",
	}
	checkFaults(t, d.NativeFaults(), want)
}

// Containers need the same level as native sidecars.
func TestNativeLevel(t *testing.T) {
	t.Parallel()
	standards, levels := podrules.NewStandards(), make(map[podrules.Level]int)
	for _, fields := range []string{
		"ports: [{containerPort: 1, hostPort: 1}]",
		"livenessProbe: {tcpSocket: {host: h, port: 1}}",
		"lifecycle: {preStop: {httpGet: {host: h, port: 1}}}",
		"securityContext: {privileged: true}",
		"securityContext: {capabilities: {add: [NET_ADMIN]}}",
		"securityContext: {procMount: Unmasked}",
		"securityContext: {seccompProfile: {type: Unconfined}}",
		"securityContext: {runAsUser: 0}",
		"securityContext: {runAsNonRoot: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}, " +
			"seccompProfile: {type: RuntimeDefault}}",
	} {
		for _, list := range []string{"containers", "prependContainers"} {
			d := parse[podrules.Definition](t, list+": [{name: a, image: i, "+fields+"}]")
			level, violations := standards.Level(d)
			native, others := standards.Level(d.Native())
			if diff := cmp.Diff(violations, others); native != level || diff != "" {
				t.Errorf("%s: %s as a native sidecar, and %s otherwise\n%s", fields, native, level, diff)
			}
			levels[level]++
		}
	}
	if len(levels) != 3 {
		t.Errorf("some level is not compared: %v", levels)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		definition string
		want       []string
	}{
		"empty": {"{}", nil},
		"each list of containers": {`
prependInitContainers: [{name: a, image: i}, {name: b}]
initContainers: [{name: c}]
prependContainers: [{name: d}]
containers: [{name: e, image: i}, {name: f}]`, []string{
			"containers[1].image: Required value",
			"initContainers[0].image: Required value",
			"prependContainers[0].image: Required value",
			"prependInitContainers[1].image: Required value",
		}},
		"lists for all containers": {`
containers: [{name: a, image: i}]
prependEnv: [{name: A}, {name: "c d"}]
env: [{name: B}, {name: "a b"}]
extendEnv: [{name: A, value: a}, {name: "e f", value: b}]
envFrom: [{}]
volumeMounts: [{name: v}]`, []string{
			"envFrom: Invalid value: must specify one of",
			"env[1].name: Invalid value: a valid environment variable name",
			"extendEnv[1].name: Invalid value: a valid environment variable name",
			"prependEnv[1].name: Invalid value: a valid environment variable name",
			"volumeMounts[0].mountPath: Required value",
		}},
		"pod": {`
affinity: {podAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{podAffinityTerm: {topologyKey: z}}]}}
dnsConfig: {nameservers: [x], options: [{}]}
podSecurityContext: {runAsUser: -1, sysctls: [{value: a}]}
hostAliases: [{ip: x}]
hostPID: true
nodeSelector: {a: "b c"}
priorityClassName: A
runtimeClassName: A
serviceAccountName: A
terminationGracePeriodSeconds: -1
shareProcessNamespace: true
tolerations: [{effect: x, operator: Exists}]
topologySpreadConstraints: [{maxSkew: 1, whenUnsatisfiable: DoNotSchedule}]
volumes: [{name: A}]`, []string{
			"affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value",
			"dnsConfig.nameservers[0]: Invalid value: must be a valid IP address",
			"dnsConfig.options[0]: Required value",
			"hostAliases[0].ip: Invalid value: must be a valid IP address",
			`nodeSelector: Invalid value: "a": a valid label`,
			"podSecurityContext.runAsUser: Invalid value: must be between 0",
			"podSecurityContext.sysctls[0].name: Required value",
			"priorityClassName: Invalid value: a lowercase RFC 1123 subdomain",
			"runtimeClassName: Invalid value: a lowercase RFC 1123 subdomain",
			"serviceAccountName: Invalid value: a lowercase RFC 1123 subdomain",
			"shareProcessNamespace: Invalid value: ShareProcessNamespace and HostPID cannot both be enabled",
			"terminationGracePeriodSeconds: Invalid value: must be greater than or equal to 0",
			"tolerations[0].effect: Unsupported value: supported values",
			"topologySpreadConstraints[0].topologyKey: Required value",
			"volumes[0].name: Invalid value: a lowercase RFC 1123 label",
		}},
		"keys": {`
labels: {"a b": c}
annotations: {"a b": c}
extendAnnotations: {"d e": f, container.apparmor.security.beta.kubernetes.io/a: x}`, []string{
			`annotations: Forbidden: name part`,
			`extendAnnotations: Forbidden: name part`,
			"extendAnnotations[container.apparmor.security.beta.kubernetes.io/a]: Invalid value: container not found",
			"extendAnnotations[container.apparmor.security.beta.kubernetes.io/a]: Invalid value: invalid AppArmor profile",
			`labels: Forbidden: name part`,
		}},
		"provided by the pod": {`
containers:
- name: a
  image: i
  env: [{name: A, valueFrom: {fileKeyRef: {volumeName: w, path: p, key: k}}}]
  lifecycle: {preStop: {sleep: {seconds: 1000}}, stopSignal: SIGUSR1}
  resizePolicy: [{resourceName: cpu, restartPolicy: RestartContainer}]
  resources: {claims: [{name: gpu}]}
  securityContext: {procMount: Unmasked}
  volumeDevices: []
  volumeMounts: [{name: v, mountPath: /v}]
`, nil},
		"provided by a Windows pod": {`
containers: [{name: a, image: i, lifecycle: {stopSignal: SIGTERM}}]
initContainers: [{name: b, image: i, securityContext: {windowsOptions: {hostProcess: true}}}]`, nil},
		"options of all containers of a Windows pod": {`
containers: [{name: a, image: i, lifecycle: {stopSignal: SIGTERM}}]
podSecurityContext: {windowsOptions: {hostProcess: true}}`, nil},
		"token of a projected volume": {
			"volumes: [{name: v, projected: {sources: [{serviceAccountToken: {path: t}}]}}]", nil,
		},
		"device": {"containers: [{name: a, image: i, volumeDevices: [{name: v, devicePath: /v}]}]", nil},
		"invalid name of a volume": {"volumeMounts: [{name: A, mountPath: /a}]", []string{
			"volumeMounts[0].name: Invalid value: a lowercase RFC 1123 label",
		}},
		"missing names": {"containers: [{image: i}, {image: i}]", []string{
			"containers[0].name: Required value", "containers[1].name: Required value",
		}},
		"name in two lists": {"containers: [{name: a, image: i}]\nprependInitContainers: [{name: a, image: i}]", []string{
			"prependInitContainers[0].name: Duplicate value",
		}},
		"request": {
			"containers: [{name: a, image: i, resources: {limits: {cpu: 1m}, requests: {cpu: 12345m}}}]",
			[]string{"containers[0].resources.requests[cpu]: Invalid value: must be less than or equal to the limit"},
		},
		"ports of an init container": {`
initContainers:
- {name: a, image: i}
- {name: b, image: i, ports: [{containerPort: 1, hostPort: 80}, {containerPort: 2, hostPort: 80}]}`, []string{
			"initContainers: Duplicate value: a container has the same hostPort twice",
		}},
		"defaulted host port": {`
hostNetwork: true
containers:
- {name: a, image: i, ports: [{containerPort: 80}]}
- {name: b, image: i, ports: [{containerPort: 80}]}`, []string{
			"containers[1].ports[0].hostPort: Duplicate value",
		}},
		"panic of the library": {
			"containers: [{name: a, image: i, resources: {limits: {cpu: 1, hugepages-1e99: 1}}}]",
			[]string{"definition: Internal error: validation panicked"},
		},
		"list that the library compares in pairs": {
			"initContainers: [{name: a, image: i, resources: {claims: [" + strings.Repeat("{name: c},", 101) + "]}}]",
			[]string{"initContainers[0].resources.claims: Too many: 101"},
		},
		"list of the pod that the library compares in pairs": {
			"topologySpreadConstraints: [" + strings.Repeat("{maxSkew: 1},", 101) + "]",
			[]string{"topologySpreadConstraints: Too many: 101"},
		},
		"name of the target container": {"containers: [{name: <target>, image: i}]", []string{
			"containers[0].name: Invalid value: a lowercase RFC 1123 label",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := parse[podrules.Definition](t, test.definition)
			checkFaults(t, d.Faults(), test.want)
			if diff := cmp.Diff(parse[podrules.Definition](t, test.definition), d); diff != "" {
				t.Errorf("the definition was changed (-want +got):\n%s", diff)
			}
		})
	}
}

// checkFaults compares faults with how their texts begin.
func checkFaults(t *testing.T, faults field.ErrorList, wanted []string) {
	t.Helper()
	got := texts(faults)
	if len(got) != len(wanted) {
		t.Fatalf("got %q, want %q", got, wanted)
	}
	for i, want := range wanted {
		if !strings.HasPrefix(got[i], want) {
			t.Errorf("got %q, want %q", got[i], want)
		}
	}
}

// TestEveryFieldIsInThePod requires each field in the validated pod, except those that Faults validates itself.
func TestEveryFieldIsInThePod(t *testing.T) {
	t.Parallel()
	empty := podrules.PodOf(new(podrules.Definition))
	for f := range reflect.TypeFor[podrules.Definition]().Fields() {
		d := new(podrules.Definition)
		fill(reflect.ValueOf(d).Elem().FieldByIndex(f.Index), 1)
		own := slices.Contains([]string{"Labels", "NodeSelector", "GracePeriod"}, f.Name)
		if !own && reflect.DeepEqual(podrules.PodOf(d), empty) {
			t.Errorf("the pod does not have %s", f.Name)
		}
	}
}

const secret = "s3cr3t ../x"

// TestFaultsQuoteNoValues requires that faults quote only keys of maps.
func TestFaultsQuoteNoValues(t *testing.T) {
	t.Parallel()
	for f := range reflect.TypeFor[podrules.Definition]().Fields() {
		d := new(podrules.Definition)
		fill(reflect.ValueOf(d).Elem().FieldByIndex(f.Index), 12)
		for _, fault := range d.Faults() {
			if strings.Contains(fault.Error(), secret) {
				t.Errorf("%s: %v", f.Name, fault)
			}
		}
	}
}

// fill sets every field down to a depth. Strings are the secret, lists and maps have one element.
func fill(v reflect.Value, depth int) {
	if depth < 0 {
		return
	}
	switch v.Kind() { //nolint:exhaustive // the others do not occur
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString(secret)
	case reflect.Int32, reflect.Int64:
		v.SetInt(-1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth-1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), depth-1)
	case reflect.Map:
		element := reflect.New(v.Type().Elem()).Elem()
		fill(element, depth-1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("key").Convert(v.Type().Key()), element)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), depth-1)
			}
		}
	}
}

func BenchmarkFaults(b *testing.B) {
	d := parse[podrules.Definition](b, `
containers:
- name: proxy
  image: proxy:v1
  env: [{name: A, value: a}, {name: B, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
  ports: [{containerPort: 8080, name: http}]
  readinessProbe: {httpGet: {path: /ready, port: http}}
  resources: {limits: {cpu: 100m, memory: 64Mi}, requests: {cpu: 10m, memory: 64Mi}}
  volumeMounts: [{name: config, mountPath: /etc/proxy}]
- name: logger
  image: logger:v1
  securityContext: {runAsNonRoot: true, capabilities: {drop: [ALL]}}
volumes: [{name: config, configMap: {name: proxy}}]
`)
	b.ReportAllocs()
	for b.Loop() {
		if faults := d.Faults(); len(faults) > 0 {
			b.Fatal(faults)
		}
	}
}
