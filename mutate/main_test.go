package mutate_test

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/conf/params"
	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/mutate/jsonview"
	"k8s-sidecar-injector/store"
)

// load returns a snapshot of one file of sidecars, all of which must be valid. After the test it
// compares the snapshot with a second one, because Pod may not change it.
func load(tb testing.TB, content []byte) *store.Snapshot {
	tb.Helper()
	snapshot, rejected := tryLoad(content)
	for _, r := range rejected {
		tb.Fatalf("%s: %v", r.Origin, r)
	}
	again, _ := tryLoad(content)
	tb.Cleanup(func() { checkUnchanged(tb, snapshot, again) })
	return snapshot
}

func tryLoad(content []byte) (*store.Snapshot, []conf.Rejection) {
	set := conf.Load(conf.Split(conf.Origin{Root: "conf", Name: "sidecars.yaml"}, content), nil)
	var s store.Store
	s.Publish(set)
	return s.Current(), set.Rejections
}

// checkUnchanged compares a snapshot that was used with one of the same definitions.
func checkUnchanged(tb testing.TB, snapshot, again *store.Snapshot) {
	tb.Helper()
	want, got := describe(again), describe(snapshot)
	if !reflect.DeepEqual(want, got) {
		whole := cmp.Exporter(func(reflect.Type) bool { return true })
		tb.Errorf("the snapshot was changed (-before +after):\n%s", cmp.Diff(want, got, whole))
	}
}

type described struct {
	conf.ListedSidecar

	Content, InJobs *conf.Content
	Parameters      []params.Parameter
	Definition      any
}

func describe(snapshot *store.Snapshot) (all []described) {
	for s := range snapshot.Sidecars() {
		all = append(all, described{s.Listed(), s.Content(), s.ForJobs().Content(), s.Parameters, s.Definition()})
	}
	return all
}

// decide calls Pod twice with the same arguments. The arguments must not change, and the decisions
// must be equal to the byte.
func decide(tb testing.TB, snapshot *store.Snapshot, policy *mutate.Policy, request []byte) mutate.Decision {
	tb.Helper()
	return decideWithDefault(tb, nil, snapshot, policy, request)
}

// decideWithDefault is decide in a namespace with a default.
func decideWithDefault(
	tb testing.TB, namespace *string, snapshot *store.Snapshot, policy *mutate.Policy, request []byte,
) mutate.Decision {
	tb.Helper()
	r, before := decode(tb, request), decode(tb, request)
	r.NamespaceDefault, before.DecodeObject = lookup(namespace), nil
	p := *policy
	p.IgnoredNamespaces = slices.Clone(policy.IgnoredNamespaces)
	decision := mutate.Pod(snapshot, policy, r)
	again := mutate.Pod(snapshot, policy, r)
	if r.NamespaceDefault, r.DecodeObject = nil, nil; !reflect.DeepEqual(r, before) {
		tb.Errorf("the request was changed")
	}
	if !reflect.DeepEqual(*policy, p) {
		tb.Errorf("the policy was changed")
	}
	if !slices.Contains(mutate.Verdicts(), mutate.Verdict{Outcome: decision.Outcome, Reason: decision.Reason}) {
		tb.Errorf("%s for %s is not one of the verdicts", decision.Outcome, decision.Reason)
	}
	if !bytes.Equal(decision.Patch, again.Patch) || decision.Message() != again.Message() {
		tb.Errorf("two decisions for one request:\n%s\n%s", text(&decision), text(&again))
	}
	return decision
}

// lookup returns the default of a namespace, or nil if the namespace has none.
func lookup(namespace *string) func() (string, bool, error) {
	if namespace == nil {
		return nil
	}
	return func() (string, bool, error) { return *namespace, true, nil }
}

// decode decodes an AdmissionRequest.
func decode(tb testing.TB, request []byte) *mutate.Request {
	tb.Helper()
	r := new(mutate.Request)
	if err := json.Unmarshal(request, r); err != nil {
		tb.Fatalf("decode the request: %v", err)
	}
	compareView(tb, request, r)
	r.DecodeObject = func(view any) error {
		return json.Unmarshal(request, &struct {
			Object any `json:"object"`
		}{view})
	}
	return r
}

// compareView decodes a document as the webhook does, and compares the result. Unusual documents are declined.
func compareView[T any](tb testing.TB, document []byte, want *T) {
	tb.Helper()
	got := new(T)
	if view := jsonview.Of[T](); view.Unmarshal(document, got) && !reflect.DeepEqual(got, want) {
		whole := cmp.Exporter(func(reflect.Type) bool { return true })
		tb.Errorf("jsonview (-want +got):\n%s", cmp.Diff(want, got, whole))
	}
}

// decodeReview decodes an AdmissionReview as the webhook does.
func decodeReview(tb testing.TB, content []byte) *mutate.Request {
	tb.Helper()
	r := new(admissionReview)
	if !viewOfReview.Unmarshal(content, r) {
		tb.Fatalf("the view declines %s", content)
	}
	return r.Request
}

type admissionReview struct {
	Request *mutate.Request `json:"request"`
}

var viewOfReview = jsonview.Of[admissionReview]()

// defaultPolicy returns the policy of a command line without flags.
func defaultPolicy() *mutate.Policy {
	return &mutate.Policy{
		AnnotationNamespace: "injector.tumblr.com",
		IgnoredNamespaces:   []string{"kube-system", "kube-public", "kube-node-lease"},
		OnUnknown:           mutate.Admit,
		OnConflict:          mutate.Deny,
	}
}
