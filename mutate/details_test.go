package mutate_test

import (
	"fmt"
	"strings"
	"testing"

	"k8s-sidecar-injector/mutate"
)

// TestDetails checks that wrong types and long lists in fields that only some sidecars need are errors, unless no
// sidecar needs them.
func TestDetails(t *testing.T) {
	t.Parallel()
	const sidecars = `name: needy
priorityClassName: high
podSecurityContext: {supplementalGroups: [1]}
dnsConfig: {searches: [a]}
---
name: modest
`
	snapshot := load(t, []byte(sidecars))
	numbers := func(n int) string { return "[" + repeat("1", n) + "]" }
	names := func(n int) string { return "[" + repeat(`"#"`, n) + "]" }
	objects := func(n int) string { return "[" + repeat(`{"name":"#"}`, n) + "]" }
	for _, test := range []struct{ spec, want string }{
		{`"priorityClassName": 1`, "/object/spec/priorityClassName"},
		{`"runtimeClassName": {}`, "/object/spec/runtimeClassName"},
		{`"terminationGracePeriodSeconds": "60"`, "/object/spec/terminationGracePeriodSeconds"},
		{`"affinity": []`, "/object/spec/affinity"},
		{`"affinity": {` + repeat(`"f#":null`, 10_001) + `}`, "more than 10000 elements"},
		{`"dnsConfig": "a"`, "/object/spec/dnsConfig"},
		{`"dnsConfig": {"searches": [1]}`, "/object/spec/dnsConfig/searches/0"},
		{`"dnsConfig": {"nameservers": ` + names(10_001) + `}`, "more than 10000 elements"},
		{`"dnsConfig": {"options": ` + objects(10_001) + `}`, "more than 10000 elements"},
		{`"securityContext": 1`, "/object/spec/securityContext"},
		{`"securityContext": {"sysctls": {}}`, "/object/spec/securityContext/sysctls"},
		{`"securityContext": {"supplementalGroups": ["a"]}`, "/object/spec/securityContext/supplementalGroups/0"},
		{`"securityContext": {"supplementalGroups": ` + numbers(10_001) + `}`, "Groups\": more than 10000 elements"},
		{`"securityContext": {"sysctls": ` + objects(10_001) + `}`, "more than 10000 elements"},
		{`"securityContext": {` + repeat(`"f#":1`, 10_001) + `}`, "more than 10000 elements"},
	} {
		t.Run(test.spec[:min(len(test.spec), 50)], func(t *testing.T) {
			t.Parallel()
			for request, want := range map[string]mutate.Reason{
				"needy": mutate.ReasonBadReview, "modest": mutate.ReasonInjected,
			} {
				pod := fmt.Sprintf(`{"metadata":{"annotations":{"injector.tumblr.com/request":%q}},"spec":{%s}}`,
					request, test.spec)
				decision := mutate.Pod(snapshot, defaultPolicy(), decode(t, creating([]byte(pod))))
				message := decision.Message()
				if decision.Reason != want || want == mutate.ReasonBadReview && !strings.Contains(message, test.want) {
					t.Errorf("%s: got %s: %s", request, decision.Reason, message)
				}
			}
		})
	}
}
