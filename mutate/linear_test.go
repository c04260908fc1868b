package mutate_test

import (
	"fmt"
	"math"
	"regexp"
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
		{
			"envFrom", `envFrom: [<{secretRef: {name: v@-#}}>]`,
			`"containers":[{"envFrom":[<{"secretRef":{"name":"v#"}}>]}]`,
		},
		{"containers", `containers: [<{name: v@-#, image: x}>]`, `"containers":[]`},
		{"labels", `labels: {<v@-#: x>}`, `"containers":[]`},
		{"annotations", `annotations: {<v@-#: x>}`, `"containers":[]`},
		{"node selector", `nodeSelector: {<v@-#: x>}`, `"nodeSelector":{<"v#":"">}`},
		{"tolerations", `tolerations: [<{key: v@-#, operator: Exists}>]`, `"tolerations":[<{"key":"v#"}>]`},
		{"pull secrets", `imagePullSecrets: [<{name: v@-#}>]`, `"imagePullSecrets":[<{"name":"v#"}>]`},
		{"host aliases", `hostAliases: [<{ip: 10.0.0.1, hostnames: [v@-#]}>]`, `"containers":[]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			few, many := largeMerge(t, test.sidecar, test.spec, 10), largeMerge(t, test.sidecar, test.spec, 100)
			fast, slow := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
			for range 10 {
				fast, slow = min(fast, few()), min(slow, many())
			}
			t.Log(fast, slow, slow/fast)
			if slow > 30*fast {
				t.Errorf("%v instead of %v for ten times the elements", slow, fast)
			}
		})
	}
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
