package mutate_test

import (
	"bytes"
	"reflect"
	"regexp"
	"slices"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/store"
)

// load makes a snapshot of one file of sidecars, which must all be right. When the test is
// over it is compared with a second one: nothing that Pod is given may change.
func load(tb testing.TB, content []byte) *store.Snapshot {
	tb.Helper()
	snapshot, rejected := tryLoad(content)
	for _, r := range rejected {
		tb.Fatalf("%s: %v", r.Origin, r)
	}
	again, _ := tryLoad(content)
	tb.Cleanup(func() { unchanged(tb, snapshot, again) })
	return snapshot
}

func tryLoad(content []byte) (*store.Snapshot, []conf.Rejection) {
	set := conf.Load(conf.Split(conf.Origin{Place: "conf", Name: "sidecars.yaml"}, content, nil), nil)
	var s store.Store
	s.Publish(set)
	return s.Current(), set.Rejections
}

func unchanged(tb testing.TB, snapshot, again *store.Snapshot) {
	tb.Helper()
	whole := cmp.Exporter(func(reflect.Type) bool { return true })
	patterns := cmp.Comparer(func(a, b *regexp.Regexp) bool {
		return (a == nil) == (b == nil) && (a == nil || a.String() == b.String())
	})
	if diff := cmp.Diff(slices.Collect(again.Sidecars()), slices.Collect(snapshot.Sidecars()), whole, patterns); diff != "" {
		tb.Errorf("the snapshot was changed (-before +after):\n%s", diff)
	}
}

// decide runs Pod twice over the same arguments: they must stay as they are, and the two
// decisions must be the same to the byte.
func decide(tb testing.TB, snapshot *store.Snapshot, policy *mutate.Policy, request []byte) mutate.Decision {
	tb.Helper()
	return decideIn(tb, nil, snapshot, policy, request)
}

// decideIn is decide in a namespace with a default.
func decideIn(tb testing.TB, namespace *string, snapshot *store.Snapshot, policy *mutate.Policy, request []byte) mutate.Decision {
	tb.Helper()
	r, before := decode(tb, request), decode(tb, request)
	r.Default, before.Default = namespace, namespace
	p := *policy
	p.IgnoredNamespaces = slices.Clone(policy.IgnoredNamespaces)
	decision := mutate.Pod(snapshot, policy, r)
	again := mutate.Pod(snapshot, policy, r)
	if !reflect.DeepEqual(r, before) {
		tb.Errorf("the request was changed")
	}
	if !reflect.DeepEqual(*policy, p) {
		tb.Errorf("the policy was changed")
	}
	if !slices.Contains(mutate.Verdicts(), mutate.Verdict{Outcome: decision.Outcome, Reason: decision.Reason}) {
		tb.Errorf("%s for %s is none of the verdicts", decision.Outcome, decision.Reason)
	}
	if !bytes.Equal(decision.Patch, again.Patch) || decision.Message != again.Message {
		tb.Errorf("two decisions about one request:\n%s\n%s", text(&decision), text(&again))
	}
	return decision
}

// decode reads a bare AdmissionRequest.
func decode(tb testing.TB, request []byte) *mutate.Request {
	tb.Helper()
	r := new(mutate.Request)
	if err := json.Unmarshal(request, r); err != nil {
		tb.Fatalf("decode the request: %v", err)
	}
	return r
}

// decodeReview reads a whole AdmissionReview.
func decodeReview(tb testing.TB, content []byte) *mutate.Request {
	tb.Helper()
	var review struct {
		Request *mutate.Request `json:"request"`
	}
	if err := json.Unmarshal(content, &review); err != nil {
		tb.Fatalf("decode the review: %v", err)
	}
	return review.Request
}

// usual is the policy with all defaults.
func usual() *mutate.Policy {
	return &mutate.Policy{
		AnnotationNamespace: "injector.tumblr.com",
		IgnoredNamespaces:   []string{"kube-system", "kube-public", "kube-node-lease"},
		OnUnknown:           mutate.Admit,
		OnConflict:          mutate.Deny,
	}
}
