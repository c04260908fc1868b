package mutate_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s-sidecar-injector/mutate"
)

// TestMergeIsLinear checks that ten times the elements take about ten times as long. Comparing each
// element with all others takes almost a hundred times as long.
//
//nolint:paralleltest // it measures time
func TestMergeIsLinear(t *testing.T) {
	// In sidecars and pods, <element> is a list of elements, # is the number of the element, and @ is
	// the number of the sidecar.
	for _, test := range []struct{ name, sidecar, spec string }{
		{"volumes", `volumes: [<{name: v@-#, emptyDir: {}}>]`, `"volumes":[<{"name":"v#"}>]`},
		{
			"mounts", "volumes: [<{name: v@-#, emptyDir: {}}>]\nvolumeMounts: [<{name: v@-#, mountPath: /v@-#}>]",
			`"containers":[{"volumeMounts":[<{"name":"v#","mountPath":"/v#"}>]}]`,
		},
		{
			"missing volumes", "volumeMounts: [<{name: v@-#, mountPath: /v@-#}>]",
			`"containers":[{"volumeMounts":[<{"name":"v#","mountPath":"/v#"}>]}]`,
		},
		{"env", `env: [<{name: V@_#, value: x}>]`, `"containers":[{"env":[<{"name":"V#"}>]}]`},
		{"prependEnv", `prependEnv: [<{name: V@_#, value: x}>]`, `"containers":[{"env":[<{"name":"V#"}>]}]`},
		{
			"extendEnv", `extendEnv: [<{name: V@_#, value: x}>]`,
			`"containers":[{"env":[<{"name":"V1_#","value":"y"}>]}]`,
		},
		{
			"envFrom", `envFrom: [<{secretRef: {name: v@-#}}>]`,
			`"containers":[{"envFrom":[<{"secretRef":{"name":"v#"}}>]}]`,
		},
		{
			"copies", "containers: [{name: v@, image: x}]\ncopyFrom: [{env: [<V#>], volumeMounts: [<v#>]}]",
			`"volumes":[<{"name":"v#"}>],"containers":[{"env":[<{"name":"V#"}>],` +
				`"volumeMounts":[<{"name":"v#","mountPath":"/v#"}>]}]`,
		},
		{
			"copies into many containers", "containers: [<{name: v@-#, image: x}>]\ncopyFrom: [{env: [<V#>]}]",
			`"containers":[{"env":[<{"name":"V#"}>]}]`,
		},
		{"containers", `containers: [<{name: v@-#, image: x}>]`, `"containers":[]`},
		{
			"containers of all sidecars", "appliesTo: {sidecars: [none], own: false}\nenv: [{name: E, value: x}]\n" +
				"containers: [<{name: v-#, image: x}>]", `"containers":[]`,
		},
		{
			"native sidecars", "inJobs: native\ncontainers: [<{name: v@-#, image: x}>]",
			`"restartPolicy":"Never","containers":[]`,
		},
		{"labels", `labels: {<v@-#: x>}`, `"containers":[]`},
		{"annotations", `annotations: {<v@-#: x>}`, `"containers":[]`},
		{"words", `extendAnnotations: {<v@-#: x>}`, `"containers":[]`},
		{"node selector", `nodeSelector: {<v@-#: x>}`, `"nodeSelector":{<"v#":"">}`},
		{"tolerations", `tolerations: [<{key: v@-#, operator: Exists}>]`, `"tolerations":[<{"key":"v#"}>]`},
		{"pull secrets", `imagePullSecrets: [<{name: v@-#}>]`, `"imagePullSecrets":[<{"name":"v#"}>]`},
		{
			"spread constraints",
			`topologySpreadConstraints: [<{maxSkew: 1, topologyKey: v@-#, whenUnsatisfiable: ScheduleAnyway}>]`,
			`"topologySpreadConstraints":[<{"topologyKey":"v#","whenUnsatisfiable":"ScheduleAnyway"}>]`,
		},
		{
			"DNS options", `dnsConfig: {options: [<{name: v@-#}>]}`,
			`"dnsConfig":{"options":[<{"name":"v#"}>]}`,
		},
		{
			"sysctls", `podSecurityContext: {sysctls: [<{name: net.v@-#, value: a}>]}`,
			`"securityContext":{"sysctls":[<{"name":"net.v#"}>]}`,
		},
		{
			"groups", `podSecurityContext: {supplementalGroups: [<1@00#>]}`,
			`"securityContext":{"supplementalGroups":[<#>]}`,
		},
		{"host aliases", `hostAliases: [<{ip: 10.0.0.1, hostnames: [v@-#]}>]`, `"containers":[]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			checkLinear(t, largeMerge(t, test.sidecar, test.spec, 10), largeMerge(t, test.sidecar, test.spec, 100))
		})
	}
}

// checkLinear compares the times of a few elements and of ten times as many.
func checkLinear(t *testing.T, few, many func() time.Duration) {
	t.Helper()
	fast, slow := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
	linear := false
	for try := 0; try < 100 && !linear; try++ { // a busy machine is slow at times
		fast, slow = min(fast, few()), min(slow, many())
		linear = try >= 2 && slow <= 50*fast
	}
	if !linear {
		t.Errorf("%v instead of %v for ten times the elements", slow, fast)
	}
}

// TestClaimsAreLinear checks the volumes of the claims of a StatefulSet.
//
//nolint:paralleltest // it measures time
func TestClaimsAreLinear(t *testing.T) {
	claims := func(n int) func() time.Duration {
		w := new(mutate.Workload)
		object := `{"apiVersion":"apps/v1","kind":"StatefulSet","spec":{"volumeClaimTemplates":[` +
			repeat(`{"metadata":{"name":"c#"}}`, n) + `],"template":{"spec":{"volumes":[` + repeat(`{"name":"v#"}`, n) + `]}}}}`
		if err := json.Unmarshal([]byte(object), w); err != nil {
			t.Fatal(err)
		}
		return func() time.Duration {
			start := time.Now()
			if _, err := w.Pod(w.Template(), new(mutate.StandIns)); err != nil {
				t.Fatal(err)
			}
			return time.Since(start)
		}
	}
	checkLinear(t, claims(1000), claims(10_000))
}

// largeMerge returns a function that measures the time of a decision about a pod with many sidecars.
func largeMerge(t *testing.T, sidecar, spec string, sidecars int) func() time.Duration {
	t.Helper()
	var definitions strings.Builder
	names := make([]string, sidecars)
	for i := range names {
		names[i] = fmt.Sprintf("s%d", i)
		elements := strings.ReplaceAll(repeatElements(sidecar, 30), "@", strconv.Itoa(i))
		fmt.Fprintf(&definitions, "---\nname: %s\n%s\n", names[i], elements)
	}
	snapshot, rejected := tryLoad([]byte(definitions.String()))
	for _, r := range rejected {
		t.Fatal(r)
	}
	pod := fmt.Sprintf(`{"metadata":{"annotations":{"injector.tumblr.com/request":%q}},"spec":{%s}}`,
		strings.Join(names, ","), repeatElements(spec, 10*sidecars))
	request, policy := decode(t, creating([]byte(pod))), defaultPolicy()
	return func() time.Duration {
		start := time.Now()
		mutate.Pod(snapshot, policy, request)
		return time.Since(start)
	}
}

// repeatElements replaces <element> by n elements.
func repeatElements(text string, n int) string {
	return regexp.MustCompile("<[^>]*>").ReplaceAllStringFunc(text, func(element string) string {
		return repeat(strings.Trim(element, "<>"), n)
	})
}

// TestLongLists compares Pod with the oracle for generated pods and sidecars with long lists.
func TestLongLists(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		g := &generator{bytes: randomBytes(t, seed, 200+8*int(seed))}
		_, file := g.sidecars()
		pod := lengthen(t, g.pod(), 35, "spec", "containers", "initContainers")
		var definitions []*definition
		var written []byte
		for _, content := range bytes.Split(file, []byte("---\n"))[1:] {
			content = lengthen(t, content, 40)
			d := new(definition)
			if err := json.Unmarshal(content, d); err != nil {
				t.Fatal(err)
			}
			written = fmt.Appendf(written, "---\n%s\n", content)
			definitions = append(definitions, d)
		}
		snapshot, _ := tryLoad(written)
		digests := make(map[string]string)
		for sidecar := range snapshot.Sidecars() {
			digests[sidecar.Ref.String()] = sidecar.Digest[:12]
		}
		definitions = slices.DeleteFunc(definitions, func(d *definition) bool { return digests[d.Name] == "" })
		c := &testCase{policy: defaultPolicy(), object: pod, request: createRequest()}
		c.checkAgainstOracle(t, snapshot, definitions, digests)
	}
}

// lengthen puts n elements in front of each list of an object and of the objects in its fields.
func lengthen(t *testing.T, content []byte, n int, fields ...string) []byte {
	t.Helper()
	var o object
	if err := json.Unmarshal(content, &o); err != nil {
		t.Fatal(err)
	}
	lengthenObject(t, o, n, fields)
	return encode(o)
}

func lengthenObject(t *testing.T, o object, n int, fields []string) {
	t.Helper()
	for field, element := range map[string]string{
		"volumes":                   `{"name":"f#","emptyDir":{}}`,
		"volumeMounts":              `{"name":"f#","mountPath":"/f#"}`,
		"prependEnv":                `{"name":"P#","value":"x"}`,
		"env":                       `{"name":"F#","value":"x"}`,
		"extendEnv":                 `{"name":"F#","value":"z"}`,
		"envFrom":                   `{"secretRef":{"name":"f#"}}`,
		"tolerations":               `{"key":"f#","operator":"Exists"}`,
		"imagePullSecrets":          `{"name":"f#"}`,
		"hostAliases":               `{"ip":"10.0.0.1","hostnames":["f#"]}`,
		"options":                   `{"name":"f#"}`,
		"sysctls":                   `{"name":"net.f#","value":"1"}`,
		"supplementalGroups":        `10#`,
		"topologySpreadConstraints": `{"maxSkew":1,"topologyKey":"f#","whenUnsatisfiable":"ScheduleAnyway"}`,
	} {
		list, found := o[field].([]any)
		if !found {
			continue
		}
		var front []any
		if err := json.Unmarshal([]byte("["+repeat(element, n)+"]"), &front); err != nil {
			t.Fatal(err)
		}
		o[field] = append(front, list...)
	}
	for _, field := range []string{"dnsConfig", "securityContext", "podSecurityContext"} {
		if value, found := o[field].(object); found {
			lengthenObject(t, value, n, nil)
		}
	}
	for _, field := range fields {
		switch value := o[field].(type) {
		case object:
			lengthenObject(t, value, n, fields)
		case []any:
			for _, element := range value {
				if element, found := element.(object); found {
					lengthenObject(t, element, n, nil)
				}
			}
		}
	}
}
