package mutate_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
)

// generator generates pods and sidecars from fuzz bytes. There are few different names, so that
// elements collide. When the bytes run out, it generates the simplest objects.
//
// A change of the generator changes the meaning of all bytes, so testdata/fuzz has no inputs of
// FuzzPod: the pod and the sidecars that FuzzPod prints if it fails belong in testdata/cases.
type generator struct {
	bytes   []byte
	unknown int // number of unknown fields so far
}

type object = map[string]any

// below returns a number below n, or 0 if the bytes have run out.
func (g *generator) below(n int) int {
	if len(g.bytes) == 0 {
		return 0
	}
	b := g.bytes[0]
	g.bytes = g.bytes[1:]
	return int(b) % n
}

// one returns true once in n times.
func (g *generator) one(n int) bool {
	return g.below(n) == n-1
}

func pick[T any](g *generator, from ...T) T {
	return from[g.below(len(from))]
}

// with adds a field that our API version does not know.
func (g *generator) with(o object) object {
	if g.one(6) {
		g.unknown++
		o[fmt.Sprintf("x-%d", g.unknown)] = pick[any](g, object{"deep": []any{1, nil, object{}}}, nil, 1.5, []any{})
	}
	return o
}

// list sets a list that is absent, null, empty, or has elements, some of which are null.
func (g *generator) list(o object, name string, element func() any) {
	switch n := g.below(7); n {
	case 0, 1:
	case 2:
		o[name] = nil
	case 3:
		o[name] = []any{}
	default:
		elements := make([]any, 0, n-3)
		for range n - 3 {
			if g.one(16) {
				elements = append(elements, nil)
			} else {
				elements = append(elements, element())
			}
		}
		o[name] = elements
	}
}

// pod generates a pod, most of which request sidecars.
func (g *generator) pod() []byte {
	annotations := g.annotations()
	metadata := g.with(object{"name": "pod", "annotations": annotations})
	g.maybe(metadata, 2, "labels", object{"a": "pod"}, object{"b": "pod", "c": nil}, object{}, nil)
	pod := g.with(object{"apiVersion": "v1", "kind": "Pod", "metadata": metadata})
	if annotations == nil {
		delete(metadata, "annotations")
	}
	switch {
	case g.one(20):
	case g.one(20):
		pod["spec"] = nil
	default:
		pod["spec"] = g.spec()
	}
	return encode(pod)
}

func (g *generator) annotations() object {
	if g.one(40) {
		return nil
	}
	annotations := object{"injector.tumblr.com/request": "logger:v1", "other": "kept"}
	if g.one(2) {
		annotations["injector.tumblr.com/request"] = pick[any](g, "logger:v1, two", "two,logger:v1",
			" three:v2 ,two:latest, Logger:v1", "two,logger:v1,TWO")
	}
	if g.one(16) {
		annotations["injector.tumblr.com/request"] = pick[any](g, " LOGGER:v1\n", "none", "", "other:v1",
			"two, three", nil, "logger:v1,", "logger:v1,none", "two logger:v1", ",")
	}
	g.maybe(annotations, 3, "list", "a", "a , b", "", " , ", "ab,", nil)
	g.maybe(annotations, 6, "kubectl.kubernetes.io/default-container", "a", nil)
	if g.one(16) {
		annotations["injector.tumblr.com/status"] = pick[any](g, "failed", " Injected ", "", nil)
	}
	if g.one(20) {
		annotations["injector.tumblr.com/injected"] = "older"
	}
	if g.one(40) {
		delete(annotations, "injector.tumblr.com/request")
	}
	if g.one(40) {
		annotations["kubernetes.io/config.mirror"] = ""
	}
	return annotations
}

func (g *generator) spec() object {
	spec := g.with(object{})
	g.list(spec, "containers", func() any { return g.container(false) })
	g.list(spec, "initContainers", func() any { return g.container(true) })
	g.list(spec, "volumes", func() any { return g.with(g.volume()) })
	g.list(spec, "hostAliases", func() any { return g.with(g.alias()) })
	if g.one(2) {
		g.mountTokens(spec)
	}
	g.maybe(spec, 4, "serviceAccountName", "", "default", "own", nil)
	g.maybe(spec, 4, "serviceAccount", "default", "", "own", nil)
	g.maybe(spec, 6, "hostNetwork", true, false, nil)
	g.maybe(spec, 6, "hostPID", true, false, nil)
	g.maybe(spec, 8, "hostIPC", true, false, nil)
	g.maybe(spec, 3, "nodeSelector", object{"a": "1"}, object{"b": "2"}, object{"kubernetes.io/os": "windows"},
		object{}, nil)
	g.maybe(spec, 3, "restartPolicy", "OnFailure", "Never", "Always", "", nil)
	g.maybe(spec, 12, "os", object{"name": "linux"}, object{"name": "windows"}, object{}, nil)
	g.list(spec, "imagePullSecrets", func() any { return object{"name": pick(g, "a", "b", "c")} })
	g.list(spec, "tolerations", func() any { return g.with(g.toleration()) })
	g.list(spec, "topologySpreadConstraints", func() any { return g.with(g.spreadConstraint()) })
	g.maybe(spec, 8, "automountServiceAccountToken", false, true, nil)
	g.maybe(spec, 8, "shareProcessNamespace", true, false, nil)
	g.maybe(spec, 4, "priorityClassName", "own", "", nil)
	g.maybe(spec, 2, "priority", 0, nil)
	g.maybe(spec, 2, "preemptionPolicy", "Never", nil)
	g.maybe(spec, 6, "runtimeClassName", "own", nil)
	g.maybe(spec, 2, "terminationGracePeriodSeconds", 30, 60, 0, nil)
	g.maybe(spec, 2, "dnsConfig", g.dnsConfig(), g.dnsConfig(), object{}, nil)
	g.maybe(spec, 2, "securityContext", g.securityContext(), g.securityContext(), object{}, nil)
	g.maybe(spec, 3, "affinity", object{}, object{"podAffinity": nil}, object{"podAffinity": object{}}, nil)
	return spec
}

// mountTokens mounts tokens as the API server does before it calls webhooks.
func (g *generator) mountTokens(spec object) {
	mount := object{"name": "token", "mountPath": token, "readOnly": true}
	for _, list := range []string{"containers", "initContainers"} {
		containers, _ := spec[list].([]any)
		for _, c := range containers {
			if c, ok := c.(object); ok {
				mounts, _ := c["volumeMounts"].([]any)
				c["volumeMounts"] = append(mounts, mount)
			}
		}
	}
	volumes, _ := spec["volumes"].([]any)
	spec["volumes"] = append(volumes, object{"name": "token", "emptyDir": object{}})
	spec["serviceAccountName"], spec["serviceAccount"] = "default", "default"
}

// maybe sets a field once in n times.
func (g *generator) maybe(o object, n int, name string, values ...any) {
	if g.one(n) {
		o[name] = pick(g, values...)
	}
}

func (g *generator) container(init bool) object {
	c := g.with(object{"name": pick(g, "a", "b", "c", "d"), "image": "app"})
	g.list(c, "env", func() any { return g.with(g.env()) })
	g.list(c, "volumeMounts", func() any { return g.with(g.mount()) })
	g.list(c, "envFrom", func() any { return g.with(g.source()) })
	if g.one(4) {
		g.list(c, "volumeDevices", func() any { return g.device() })
	}
	if g.one(3) {
		g.list(c, "ports", func() any { return g.with(g.port()) })
	}
	if init {
		g.maybe(c, 3, "restartPolicy", "Always", nil)
	}
	return c
}

func (g *generator) env() object {
	if g.one(5) {
		source := object{"fieldRef": object{"fieldPath": "metadata.name"}}
		return object{"name": pick(g, "A", "B", "C"), "valueFrom": source}
	}
	if g.one(8) {
		return object{"name": pick(g, "A", "B", "C")}
	}
	return object{"name": pick(g, "A", "B", "C"), "value": pick(g, "", "<&>\u2028", "x", "x:y")}
}

// otherThan generates a variable that is not in a list, or nil.
func (g *generator) otherThan(d object, list string) object {
	variable := g.env()
	elements, _ := d[list].([]any)
	for _, other := range elements {
		if other.(object)["name"] == variable["name"] {
			return nil
		}
	}
	return variable
}

func (g *generator) extension() object {
	e := object{"name": pick(g, "A", "B", "C", "D"), "value": pick(g, "x", "y", "y x", "< >", "")}
	g.maybe(e, 3, "separator", ":", " -")
	return e
}

func (g *generator) source() object {
	ref := object{"name": pick(g, "a", "b")}
	s := object{pick(g, "configMapRef", "secretRef"): ref}
	g.maybe(ref, 3, "optional", true, false)
	g.maybe(s, 4, "prefix", "P_")
	return s
}

func (g *generator) toleration() object {
	t := object{"key": pick(g, "a", "b"), "operator": pick(g, "Exists", "Equal")}
	if t["operator"] == "Equal" {
		g.maybe(t, 2, "value", "x", "y")
		if g.one(2) {
			delete(t, "operator")
		}
	}
	g.maybe(t, 2, "effect", "NoSchedule", "NoExecute")
	if t["effect"] == "NoExecute" {
		g.maybe(t, 2, "tolerationSeconds", 1, 2)
	}
	return t
}

func (g *generator) spreadConstraint() object {
	return object{
		"maxSkew":           pick(g, 1, 2),
		"topologyKey":       pick(g, "zone", "host"),
		"whenUnsatisfiable": pick(g, "DoNotSchedule", "ScheduleAnyway"),
	}
}

func (g *generator) mount() object {
	m := object{
		"name":      pick(g, "data", "logs", "token", "data", "logs", "token", "absent"),
		"mountPath": pick(g, "/data", "/data/", "/logs", token, token),
	}
	g.maybe(m, 6, "readOnly", true)
	return m
}

func (g *generator) device() object {
	return object{"name": pick(g, "disk", "data", "token"), "devicePath": pick(g, "/dev/xvda", "/data")}
}

func (g *generator) volume() object {
	v := object{"name": pick(g, "data", "logs", "token", "disk")}
	if v["name"] == "disk" {
		v["persistentVolumeClaim"] = object{"claimName": "disk"}
		return v
	}
	v["emptyDir"] = pick(g, object{}, object{"sizeLimit": "1Gi"})
	return v
}

func (g *generator) port() object {
	p := object{"containerPort": pick(g, 80, 81)}
	g.maybe(p, 2, "hostPort", 80, 81)
	g.maybe(p, 3, "protocol", "UDP", "TCP")
	g.maybe(p, 5, "hostIP", "10.0.0.1")
	return p
}

func (g *generator) alias() object {
	return object{"ip": pick(g, "10.0.0.1", "10.0.0.2"), "hostnames": []any{"db.internal"}}
}

// sidecars generates definitions and a file with them. Load may reject some.
func (g *generator) sidecars() ([]*definition, []byte) {
	var all []*definition
	var file []byte
	for _, name := range []string{"logger:v1", "two:latest", "three:v2"} {
		content := g.sidecar(name)
		d := new(definition)
		if err := json.Unmarshal(content, d); err != nil {
			panic(err)
		}
		all = append(all, d)
		file = append(append(append(file, "---\n"...), content...), '\n')
	}
	return all, file
}

// sidecar generates a definition.
func (g *generator) sidecar(name string) []byte {
	d := object{"name": name}
	var names []string
	g.several(d, "containers", func() object { return g.sidecarContainer(&names, false) })
	g.several(d, "initContainers", func() object { return g.sidecarContainer(&names, true) })
	if g.one(3) {
		g.several(d, "prependContainers", func() object { return g.sidecarContainer(&names, false) })
		g.several(d, "prependInitContainers", func() object { return g.sidecarContainer(&names, true) })
	}
	if g.one(2) {
		g.several(d, "envFrom", g.source)
		g.maybe(d, 2, "appliesTo", object{"containers": []any{"a"}}, object{"initContainers": []any{}},
			object{"containers": []any{"z", "b*"}, "initContainers": []any{"*"}}, object{"own": false},
			object{"sidecars": []any{"none"}}, object{"sidecars": []any{"two", "logger"}, "own": false})
	}
	if g.one(2) {
		g.podFields(d)
	}
	g.several(d, "copyFrom", func() object { return g.copyFrom(names) })
	g.unique(d, "volumes", g.volume)
	g.unique(d, "volumeMounts", g.mount)
	g.unique(d, "env", g.env)
	if g.one(2) {
		g.unique(d, "prependEnv", func() object { return g.otherThan(d, "env") })
		g.unique(d, "extendEnv", g.extension)
	}
	if !g.one(4) {
		// Without the volumes of the mounts, nearly every pod would be a conflict.
		d["volumes"] = []any{
			object{"name": "data", "emptyDir": object{}},
			object{"name": "logs", "emptyDir": object{}},
			object{"name": "token", "emptyDir": object{}},
			object{"name": "disk", "persistentVolumeClaim": object{"claimName": "disk"}},
		}
	}
	g.several(d, "hostAliases", g.alias)
	g.maybe(d, 5, "hostNetwork", true, false)
	g.maybe(d, 4, "hostPID", true, false)
	g.maybe(d, 2, "serviceAccountName", "logger", "logger", "logger", "default")
	return encode(d)
}

func (g *generator) copyFrom(containers []string) object {
	c := object{"env": []any{"A", "B"}, "volumeMounts": []any{"data", "logs", "token"}}
	g.maybe(c, 2, "env", []any{"A", "C"}, []any{"absent"})
	g.maybe(c, 2, "volumeMounts", []any{"token", "data"}, []any{"disk"})
	g.maybe(c, 2, "from", "a", "b", "c", "d", "absent")
	if len(containers) > 0 {
		g.maybe(c, 2, "container", pick[any](g, containers[0], containers[len(containers)-1]))
	}
	return c
}

func (g *generator) podFields(d object) {
	g.maybe(d, 2, "labels", object{"a": "1"}, object{"b": "2", "c": ""})
	g.maybe(d, 2, "annotations", object{"other": "1"}, object{"b/c~d": "<2>"}, object{"list": "a,,"},
		object{"kubectl.kubernetes.io/default-container": "b"})
	g.maybe(d, 2, "extendAnnotations", object{"list": "a"}, object{"list": " b, a,b,", "other": "x"}, object{"list": " ,"},
		object{"x/y": "<>,a", "list": "c,b"}, object{"kubectl.kubernetes.io/default-container": "b"})
	g.maybe(d, 2, "nodeSelector", object{"a": "1"}, object{"a": "1", "b": "2"}, object{"a": "1"}, object{"a": "2"})
	g.several(d, "tolerations", g.toleration)
	g.several(d, "topologySpreadConstraints", g.spreadConstraint)
	if g.one(2) {
		d["imagePullSecrets"] = []any{object{"name": pick(g, "a", "b")}, object{"name": "c"}}
	}
	g.maybe(d, 6, "hostIPC", true, false)
	g.maybe(d, 6, "shareProcessNamespace", true, false)
	g.maybe(d, 12, "allowedNamespaces", []any{"default"}, []any{"other"})
	g.maybe(d, 12, "skipHostNetworkPods", true, false)
	g.maybe(d, 6, "os", "linux", "windows", "any")
	g.maybe(d, 2, "inJobs", "native", "native", "native", "skip", "keep")
	g.maybe(d, 3, "priorityClassName", "high", "high", "low", "")
	g.maybe(d, 3, "runtimeClassName", "kata", "kata", "gvisor", "")
	g.maybe(d, 2, "terminationGracePeriodSeconds", 60, 90, 10, 0)
	g.maybe(d, 2, "dnsConfig", g.dnsConfig(), g.dnsConfig(), object{})
	g.maybe(d, 2, "podSecurityContext", g.securityContext(), g.securityContext(), object{})
	g.maybe(d, 3, "affinity", g.affinity("zone"), g.affinity("zone"), g.affinity("host"), object{})
}

func (g *generator) dnsConfig() object {
	dns := g.with(object{})
	g.maybe(dns, 2, "nameservers", []any{"10.0.0.1"}, []any{"10.0.0.2", "10.0.0.1"}, []any{"10.0.0.3", "10.0.0.4"}, nil)
	g.maybe(dns, 2, "searches", []any{"a", "b"}, []any{"b", "c"}, []any{}, nil)
	g.maybe(dns, 2, "options", []any{object{"name": "ndots", "value": "2"}}, []any{object{"name": "trust-ad"}},
		[]any{object{"name": "ndots", "value": "3"}}, nil)
	return dns
}

func (g *generator) securityContext() object {
	security := object{}
	g.maybe(security, 2, "runAsUser", 1, 2, nil)
	g.maybe(security, 2, "runAsNonRoot", true, false, nil)
	g.maybe(security, 3, "seccompProfile", object{"type": "RuntimeDefault"}, object{"type": "Unconfined"}, nil)
	g.maybe(security, 4, "fsGroup", 1, 1, 2, nil)
	g.maybe(security, 2, "supplementalGroups", []any{0, 1}, []any{1, 2, 0}, []any{}, nil)
	g.maybe(security, 3, "sysctls", []any{object{"name": "net.a", "value": "1"}}, []any{},
		[]any{object{"name": "net.b", "value": "1"}, object{"name": "net.a", "value": "2"}}, nil)
	return security
}

func (g *generator) affinity(topologyKey string) object {
	term := object{"topologyKey": topologyKey, "labelSelector": object{}}
	return object{"podAntiAffinity": object{"requiredDuringSchedulingIgnoredDuringExecution": []any{term}}}
}

func (g *generator) several(d object, list string, element func() object) {
	var elements []any
	for range g.below(3) {
		if e := element(); e != nil {
			elements = append(elements, e)
		}
	}
	if elements != nil {
		d[list] = elements
	}
}

// unique is several without duplicate names or paths.
func (g *generator) unique(d object, list string, element func() object) {
	var taken []any
	g.several(d, list, func() object {
		e := element()
		if e == nil {
			return nil
		}
		path, _ := e["mountPath"].(string)
		if slices.Contains(taken, e["name"]) || path != "" && slices.Contains(taken, any(trimSlashes(path))) {
			return nil
		}
		taken = append(taken, e["name"], trimSlashes(path))
		return e
	})
}

func (g *generator) sidecarContainer(names *[]string, init bool) object {
	c := object{"name": pick(g, "sidecar", "second", "third", "fourth", "fifth", "sixth", "a", "b"), "image": "sidecar"}
	if slices.Contains(*names, c["name"].(string)) {
		return nil
	}
	*names = append(*names, c["name"].(string))
	if g.one(2) {
		return c // likely to equal that of another sidecar
	}
	g.unique(c, "env", g.env)
	g.unique(c, "volumeMounts", g.mount)
	if init {
		g.maybe(c, 2, "restartPolicy", "Always")
	}
	if init && c["restartPolicy"] == nil {
		return c // merging does not read the ports of others
	}
	if g.one(6) {
		c["volumeDevices"] = []any{g.device()}
	}
	if g.one(3) {
		g.several(c, "ports", g.port)
	}
	return c
}

func encode(value any) []byte {
	content, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return content
}

// randomBytes returns n bytes of a fixed sequence, so that go test without -fuzz covers many pods.
func randomBytes(tb testing.TB, seed uint64, n int) []byte {
	tb.Helper()
	content := make([]byte, n)
	for i := range content {
		seed = seed*6364136223846793005 + 1442695040888963407
		content[i] = byte(seed >> 56)
	}
	return content
}
