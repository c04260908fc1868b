package mutate_test

import (
	"strings"
	"testing"

	"k8s-sidecar-injector/mutate"
)

// A security context matters only to a sidecar with its fields.
func TestSecurityContextIsDecodedIfNeeded(t *testing.T) {
	t.Parallel()
	snapshot := load(t, []byte(`
name: plain
parameters: {a: {from: pod.labels.a, default: a}}
labels: {b: "${a}"}
---
name: user
labels: {user: "${pod.securityContext.runAsUser}"}
`))
	for _, test := range []struct {
		request, securityContext string
		reason                   mutate.Reason
		message                  string
		decodes                  int
	}{
		{"plain", `{"runAsUser": "s3cr3t"}`, mutate.ReasonInjected, "", 0},
		{"plain,user", `{"runAsUser": 7}`, mutate.ReasonInjected, "", 1},
		{
			"plain,user", `{"runAsUser": "s3cr3t"}`, mutate.ReasonBadReview,
			`not a valid pod: "/object/spec/securityContext/runAsUser": unexpected string`, 1,
		},
		{
			"user", `["s3cr3t"]`, mutate.ReasonBadReview,
			`not a valid pod: "/object/spec/securityContext": unexpected array`, 1,
		},
	} {
		request := decode(t, creating([]byte(`{"metadata":{"annotations":{"injector.tumblr.com/request":"`+test.request+
			`"}},"spec":{"securityContext":`+test.securityContext+`,"containers":[{"name":"app"}]}}`)))
		decodes, decodeObject := 0, request.DecodeObject
		request.DecodeObject = func(view any) error {
			decodes++
			return decodeObject(view)
		}
		d := mutate.Pod(snapshot, defaultPolicy(), request)
		if d.Reason != test.reason || d.Message() != test.message || decodes != test.decodes {
			t.Errorf("%s with %s: %s %q after %d decodes, want %s %q after %d",
				test.request, test.securityContext, d.Reason, d.Message(), decodes, test.reason, test.message, test.decodes)
		}
		if strings.Contains(d.Message(), "s3cr3t") {
			t.Error("the message has a value")
		}
	}
}
