package mutate_test

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/store"
)

// parameterized has two definitions with placeholders in every kind of field.
const parameterized = `
name: logger:v1
parameters:
  text: {}
  path: {default: logs}
  label: {default: a}
  cpu: {type: quantity, default: 100m, max: "2"}
  port: {type: int, default: 80, min: -1}
  flag: {type: bool, default: false}
  level: {default: info, enum: [debug, info]}
labels: {path: "${label}", level: "${level}"}
annotations: {text: "<${text}>"}
nodeSelector: {level: "l-${level}"}
tolerations: [{key: a, value: "${label}"}]
hostAliases: [{ip: "10.0.0.1", hostnames: ["${label}"]}]
topologySpreadConstraints:
- {maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {a: "${label}"}}}
dnsConfig: {searches: ["${level}.local"], options: [{name: ndots, value: "${port}"}]}
affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: "${level}"}]}}
env:
- {name: TEXT, value: "${text}${text}"}
- {name: SECRET, valueFrom: {secretKeyRef: {name: "${level}", key: "${label}"}}}
envFrom: [{configMapRef: {name: "${label}"}, prefix: "P_"}]
volumes: [{name: v, secret: {secretName: "${level}", items: [{key: a, path: "${path}"}]}}]
volumeMounts: [{name: v, mountPath: "/x/${path}", subPath: "${path}"}]
containers:
- name: c
  image: "c:${level}"
  command: [sh, -c, "echo ${HOME} ${text}"]
  args: ["${port}", "${flag}", "${cpu}"]
  tty: "${flag}"
  env: [{name: PATH_OF, value: "${path}"}]
  resources: {requests: {cpu: "${cpu}"}, limits: {cpu: "1500m"}}
  ports: [{containerPort: "${port}"}]
  readinessProbe: {httpGet: {port: "${port}", path: "${path}"}}
---
name: vault:v1
parameters: {path: {default: a, pattern: "[a-z/]*"}, text: {default: ""}}
initContainers: [{name: i, image: "i", args: ["${path} ${text}"], workingDir: "${path}"}]
env: [{name: TEXT, value: "${text}"}, {name: OTHER, value: "${path}"}]
`

// FuzzParameters sets parameters to arbitrary values. The result must equal that of definitions with
// the values in place of the placeholders. If values are rejected, those must be invalid as well.
func FuzzParameters(f *testing.F) {
	const evil = `","securityContext":{"privileged":true},"x":"`
	f.Add("text", "data", "1", "8080", "true", "debug", "label")
	f.Add(evil, evil, evil, evil, evil, evil, evil)
	f.Add(evil, "data", "1", "8080", "true", "debug", "label")
	f.Add("${pod.name}$", "a/b", "1500m", "1", "false", "info", "x.y")
	f.Add("${text}$${path}", "a", "1500m", "1", "false", "info", "a")
	f.Add("\x00\u2028<&>\\\"\n", "a/../b", "1.5", "65536", "", "info", "-")
	f.Add("\x00\u2028<&>\\\"\n", "a/b", "1.5", "65535", "true", "info", "")
	f.Add("", "", "0", "0", "false", "", "a")
	f.Add("x", "a", "2", "1", "false", "debug", "a")
	f.Add("x", "a", "1", "1", "false", "debug", strings.Repeat("a", 64))
	f.Add("x", "a", "1600m", "99999999999", "false", "info", "a")
	f.Add("${pod.", "a", "1", "1", "false", "info", "a")
	f.Add("\x7f\u0085\u009f\ufeff\uffff", "data", "1", "8080", "true", "debug", "label")
	snapshot := load(f, []byte(parameterized))
	f.Fuzz(func(t *testing.T, note, path, cpu, port, flag, level, label string) {
		set := map[string]string{
			"text": note, "path": path, "cpu": cpu, "port": port, "flag": flag, "level": level, "label": label,
		}
		annotations := map[string]string{"injector.tumblr.com/request": "logger:v1,vault:v1"}
		for name, value := range set {
			if !utf8.ValidString(value) {
				return // cannot come in JSON
			}
			annotations["injector.tumblr.com/param."+name] = value
		}
		pod := parameterPod(t, annotations)
		c := &testCase{policy: defaultPolicy(), object: pod, request: createRequest()}
		got := decide(t, snapshot, c.policy, c.with(t, pod))
		logger := snapshot.Sidecar(conf.Ref{Name: "logger", Version: "v1"})
		vault := snapshot.Sidecar(conf.Ref{Name: "vault", Version: "v1"})
		written, allowed := literal(t, logger, vault, set)
		plain, rejected := tryLoad(written)
		if !allowed || len(rejected) > 0 {
			if got.Reason != mutate.ReasonBadParameter {
				t.Errorf("got %s, want bad_parameter: allowed %t, rejected %v", text(&got), allowed, rejected)
			}
			return
		}
		for name := range set {
			delete(annotations, "injector.tumblr.com/param."+name)
		}
		bare := parameterPod(t, annotations)
		want := decide(t, plain, c.policy, c.with(t, bare))
		if got.Reason != want.Reason || got.Message() != want.Message() {
			t.Fatalf("got %s, want %s", text(&got), text(&want))
		}
		if got.Outcome == mutate.Injected {
			sameButAnnotations(t, apply(t, pod, got.Patch), apply(t, bare, want.Patch))
		}
	})
}

func parameterPod(t *testing.T, annotations map[string]string) []byte {
	t.Helper()
	return encode(object{
		"metadata": object{"name": "app", "annotations": annotations},
		"spec": object{
			"containers": []any{object{
				"name": "app", "volumeMounts": []any{object{"name": "own", "mountPath": "/x/data"}},
			}},
			"volumes": []any{object{"name": "own", "emptyDir": object{}}},
		},
	})
}

// notInYAML matches characters that JSON allows in a string, and that YAML rejects, ignores or takes for a line break.
var notInYAML = regexp.MustCompile("[\u007f-\u009f\ufeff\ufffe\uffff]")

// literal replaces placeholders by values, and reports whether the parameters allow them.
func literal(t *testing.T, logger, vault *conf.Sidecar, set map[string]string) ([]byte, bool) {
	t.Helper()
	allowed := true
	for _, s := range []*conf.Sidecar{logger, vault} {
		for i := range s.Parameters {
			allowed = allowed && s.Parameters[i].Check(set[s.Parameters[i].Name]) == nil
		}
	}
	var file []byte
	for document := range strings.SplitSeq(parameterized, "\n---\n") {
		var definition object
		if err := yaml.Unmarshal([]byte(document), &definition); err != nil {
			t.Fatal(err)
		}
		declared, _ := definition["parameters"].(object)
		delete(definition, "parameters")
		content, err := json.Marshal(written("", definition, declared, set))
		if err != nil {
			t.Fatal(err)
		}
		content = notInYAML.ReplaceAllFunc(content, func(text []byte) []byte {
			r, _ := utf8.DecodeRune(text)
			return fmt.Appendf(nil, `\u%04x`, r)
		})
		file = append(append(append(file, "---\n"...), content...), '\n')
	}
	return file, allowed
}

// written replaces the placeholders in a value.
func written(key string, value any, declared object, set map[string]string) any {
	switch value := value.(type) {
	case object:
		made := make(object)
		for k, member := range value {
			made[k] = written(k, member, declared, set)
		}
		return made
	case []any:
		made := make([]any, len(value))
		for i, element := range value {
			made[i] = written(key, element, declared, set)
		}
		return made
	case string:
		if slices.Contains([]string{"tty", "containerPort", "port"}, key) {
			return json.RawMessage(orZero(set[strings.Trim(value, "${}")]))
		}
		var pairs []string
		for name := range declared {
			pairs = append(pairs, "${"+name+"}", set[name])
		}
		// Placeholders in a value are plain text. Without the closing brace there is none.
		podField := regexp.MustCompile(`\$\{pod\.[^}]{0,300}\}`)
		return podField.ReplaceAllString(strings.NewReplacer(pairs...).Replace(value), "$$$0")
	}
	return value
}

// orZero returns 0 in place of a value that is not JSON.
func orZero(text string) string {
	if !json.Valid([]byte(text)) {
		return "0"
	}
	return text
}

func sameButAnnotations(t *testing.T, got, want []byte) {
	t.Helper()
	var pods [2]object
	for i, content := range [][]byte{got, want} {
		if err := jsonv2.Unmarshal(content, &pods[i]); err != nil {
			t.Fatal(err)
		}
		annotations := pods[i]["metadata"].(object)["annotations"].(object)
		for key := range annotations {
			if strings.HasPrefix(key, "injector.tumblr.com/") {
				delete(annotations, key)
			}
		}
	}
	if diff := cmp.Diff(pods[1], pods[0]); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// creating returns a request to create a pod.
func creating(pod []byte) []byte {
	return fmt.Appendf(nil, `{"operation":"CREATE","namespace":"default",`+
		`"resource":{"version":"v1","resource":"pods"},"object":%s}`, pod)
}

// many returns a request for sidecars with 100 parameters each, all of which annotations set.
func many(t *testing.T, sidecars int) (*store.Snapshot, []byte) {
	t.Helper()
	parameters := make([]string, 100)
	annotations := make(map[string]string)
	var names []string
	var content strings.Builder
	for i := range parameters {
		parameters[i] = fmt.Sprintf("p%d: {default: x}", i)
	}
	for i := range sidecars {
		name := fmt.Sprintf("s%d", i)
		names = append(names, name)
		fmt.Fprintf(&content, "---\nname: %s\nparameters: {%s}\n", name, strings.Join(parameters, ", "))
		for k := range parameters {
			annotations[fmt.Sprintf("injector.tumblr.com/param.%s.p%d", name, k)] = "v"
		}
	}
	annotations["injector.tumblr.com/request"] = strings.Join(names, ",")
	return load(t, []byte(content.String())), creating(parameterPod(t, annotations))
}

// TestParameterAnnotationsAreLinear checks that the time is linear in the number of annotations.
// Decoding the request is linear, so it is the measure. Comparing each of the annotations with each
// of the parameters takes a hundred times as long.
//
//nolint:paralleltest // it measures time
func TestParameterAnnotationsAreLinear(t *testing.T) {
	snapshot, pod := many(t, 90)
	policy := defaultPolicy()
	decoding, deciding := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
	for range 5 {
		start := time.Now()
		request := decode(t, pod)
		decoded := time.Now()
		if decision := mutate.Pod(snapshot, policy, request); decision.Outcome != mutate.Injected {
			t.Fatalf("%s: %s", decision.Reason, decision.Message())
		}
		decoding, deciding = min(decoding, decoded.Sub(start)), min(deciding, time.Since(decoded))
	}
	if deciding > 20*decoding {
		t.Errorf("the decision took %v, and decoding took %v", deciding, decoding)
	}
}

// TestParametersTakeLittleTime checks that values that take long to check are rejected unchecked.
func TestParametersTakeLittleTime(t *testing.T) {
	t.Parallel()
	snapshot := load(t, []byte(`
name: slow
parameters: {p: {pattern: '(?:a*b*c*){99}'}, q: {pattern: '(?:a*b*c*){99}', default: a}}
env: [{name: A, value: '${p}'}]
`))
	for length, want := range map[int]string{
		100:    "annotation \"injector.tumblr.com/param.p\" does not match the pattern (?:a*b*c*){99}",
		1000:   "checking the values of its parameters takes too long: use shorter values or simpler patterns",
		4097:   "is longer than 4096 bytes",
		100000: "is longer than 4096 bytes",
	} {
		decision := decide(t, snapshot, defaultPolicy(), creating(parameterPod(t, map[string]string{
			"injector.tumblr.com/request": "slow", "injector.tumblr.com/param.p": strings.Repeat("a", length-1) + "!",
		})))
		if decision.Reason != mutate.ReasonBadParameter || !strings.Contains(decision.Message(), want) {
			t.Errorf("%d bytes: %s %s, want %s", length, decision.Reason, decision.Message(), want)
		}
	}
}

// TestDecisionsHaveNoValues checks that messages contain neither values of parameters nor fields of the
// pod that they come from.
func TestDecisionsHaveNoValues(t *testing.T) {
	t.Parallel()
	const marker = "s3cr3t"
	snapshot := load(t, []byte(`
name: all:v1
parameters:
  enum: {enum: [a, b], default: a}
  pattern: {pattern: "[a-z]+", default: a}
  int: {type: int, min: 1, max: 9, default: 1}
  bool: {type: bool, default: true}
  quantity: {type: quantity, max: 1, default: 1}
  label: {default: a}
  path: {default: a}
  ip: {default: 10.0.0.1}
  field: {default: metadata.name}
  node: {default: a}
  taints: {default: Honor}
  from: {from: pod.labels.from, default: a}
labels: {a: "${label}"}
nodeSelector: {node: "${node}"}
hostAliases: [{ip: "${ip}"}]
topologySpreadConstraints:
- maxSkew: "${int}"
  topologyKey: zone
  whenUnsatisfiable: ScheduleAnyway
  nodeTaintsPolicy: "${taints}"
  labelSelector: {matchLabels: {a: "${label}"}}
env: [{name: A, valueFrom: {fieldRef: {fieldPath: "${field}"}}}, {name: C, value: "${pod.labels.c}"}]
volumes: [{name: v, emptyDir: {}}]
volumeMounts: [{name: v, mountPath: "/${path}", subPath: "${path}"}]
containers:
- name: c
  image: "${from}"
  tty: "${bool}"
  resources: {limits: {cpu: "${quantity}"}}
  ports: [{containerPort: "${int}", name: "${label}"}]
`))
	for _, name := range []string{
		"enum", "pattern", "int", "bool", "quantity", "label", "path", "ip", "field", "node", "taints", "from",
	} {
		for _, value := range []string{
			marker, " " + marker, marker + " ", "../" + marker, "\"" + marker, strings.Repeat(marker, 5000),
			"1e" + marker, marker + "\x00", "-" + marker + "!", marker + ":" + marker, "a/" + marker + "//",
		} {
			pod := object{
				"metadata": object{"name": "app", "labels": object{"from": value, "c": "x"}, "annotations": object{
					"injector.tumblr.com/request": "all:v1", "injector.tumblr.com/param." + name: value,
				}},
				"spec": object{"containers": []any{}, "nodeSelector": object{"node": marker + "2"}},
			}
			if name == "from" {
				delete(pod["metadata"].(object)["annotations"].(object), "injector.tumblr.com/param.from")
			}
			decision := decide(t, snapshot, defaultPolicy(), creating(encode(pod)))
			if strings.Contains(decision.Message(), marker) {
				t.Errorf("%s %q: %s", name, value, decision.Message())
			}
		}
	}
}
