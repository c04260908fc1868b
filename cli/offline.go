package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/hashicorp/go-multierror"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/store"
)

// offline does to manifests what the webhook and the API server do to pods: the same engine
// makes the patch, and the API server's own library applies it.
type offline struct {
	snapshot  *store.Snapshot
	policy    *mutate.Policy
	namespace string
	report    io.Writer
}

// visitor looks at a pod or pod template, which is at the path of the object that the manifest is
// of. It gives what is to stand there, or nil where that is what stands there already.
type visitor func(pod []byte, path string, m *manifest) ([]byte, error)

// object visits the pods in an object, and gives the object with what came of it, or the same bytes
// where that is nothing.
func (o *offline) object(object []byte, item kindOfItem, visit visitor) ([]byte, error) {
	m, err := newManifest(object, item)
	if err != nil {
		return nil, err
	}
	if items, ok := m.list(); ok {
		return o.list(object, items, m.item(), visit)
	}
	path, found := templatePath(m.APIVersion, m.Kind)
	if !found {
		o.say(m, "left alone: it has no pod template that the injector knows")
		return object, nil
	}
	after, err := template(object, path, m, visit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", title(m), err)
	}
	return after, nil
}

// templatePath is where an object of the kind has its pod: the pointer to the pod or the pod
// template, which is empty for a Pod. Kinds of other groups that have the same names are not
// meant.
func templatePath(apiVersion, kind string) (string, bool) {
	group, _, grouped := strings.Cut(apiVersion, "/")
	if !grouped {
		group = ""
	}
	paths := map[[2]string]string{
		{"", "Pod"}:                   "",
		{"", "PodTemplate"}:           "/template",
		{"", "ReplicationController"}: "/spec/template",
		{"apps", "Deployment"}:        "/spec/template",
		{"apps", "StatefulSet"}:       "/spec/template",
		{"apps", "DaemonSet"}:         "/spec/template",
		{"apps", "ReplicaSet"}:        "/spec/template",
		{"batch", "Job"}:              "/spec/template",
		{"batch", "CronJob"}:          "/spec/jobTemplate/spec/template",
	}
	path, found := paths[[2]string{group, kind}]
	return path, found
}

// list looks into each item, and reports what is wrong with any.
func (o *offline) list(object []byte, items []jsontext.Value, kind kindOfItem, visit visitor) ([]byte, error) {
	patch := jsonpatch.Patch{}
	var faults *multierror.Error
	for i, item := range items {
		after, err := o.object(item, kind, visit)
		if err != nil {
			faults = multierror.Append(faults, fmt.Errorf("items[%d]: %w", i, err))
			continue
		}
		if string(after) != string(item) {
			patch = append(patch, replacement(fmt.Sprintf("/items/%d", i), after))
		}
	}
	if len(patch) == 0 || faults != nil {
		return object, listed(faults)
	}
	return patch.Apply(object)
}

// template visits the pod at the path.
func template(object []byte, path string, m *manifest, visit visitor) ([]byte, error) {
	pod, err := at(object, path)
	if err != nil {
		return nil, err
	}
	after, err := visit(pod, path, m)
	switch {
	case err != nil:
		return nil, err
	case after == nil:
		return object, nil
	case path == "":
		return after, nil
	}
	return jsonpatch.Patch{replacement(path, after)}.Apply(object)
}

// inject is the visitor that injects and reports what it did. It fails if the pod would be denied, or
// if the API server would reject the result.
func (o *offline) inject(pod []byte, path string, m *manifest) ([]byte, error) {
	request, err := o.request(pod, path, m)
	if err != nil {
		return nil, err
	}
	decision := mutate.Pod(o.snapshot, o.policy, request)
	if decision.Outcome == mutate.Denied {
		return nil, fmt.Errorf("denied, %s: %s", decision.Reason, decision.Message())
	}
	if decision.Patch == nil {
		o.skipped(m, path, &decision)
		return nil, nil
	}
	injected, err := apply(pod, decision.Patch)
	if err != nil {
		return nil, err
	}
	sidecars := strings.Join(refs(decision.Sidecars), ", ")
	if faults := introducedFaults(pod, injected, path); len(faults) > 0 {
		return nil, fmt.Errorf("with %s, the API server would reject %s", sidecars, listFaults(faults))
	}
	o.say(m, "injected "+sidecars)
	return injected, nil
}

func listFaults(faults []fault) string {
	texts := make([]string, len(faults))
	for i, f := range faults {
		texts[i] = f.String()
	}
	return strings.Join(texts, "; ")
}

// request is what the webhook is asked when the pod is created.
func (o *offline) request(pod []byte, path string, m *manifest) (*mutate.Request, error) {
	request := &mutate.Request{
		Operation: "CREATE",
		Resource:  mutate.Resource{Version: "v1", Resource: "pods"},
		Namespace: cmp.Or(m.Metadata.Namespace, o.namespace),
	}
	if err := jsonv2.Unmarshal(pod, &request.Object); err != nil {
		return nil, fmt.Errorf("not a valid pod: %w", mutate.DecodeError(err, path))
	}
	return request, nil
}

func apply(object, patch []byte) ([]byte, error) {
	decoded, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		return nil, err
	}
	return decoded.Apply(object)
}

// at gives the value at a pointer that has no escapes.
func at(object []byte, pointer string) ([]byte, error) {
	value, walked := object, ""
	for _, name := range strings.Split(pointer, "/")[1:] {
		var members map[string]jsontext.Value
		if err := jsonv2.Unmarshal(value, &members); err != nil {
			return nil, fmt.Errorf("it has no %s: %w", field(pointer), mutate.DecodeError(err, walked))
		}
		walked += "/" + name
		if value = members[name]; value == nil {
			return nil, fmt.Errorf("it has no %s", field(pointer))
		}
	}
	return value, nil
}

func replacement(path string, value []byte) jsonpatch.Operation {
	op, pointer := json.RawMessage(`"replace"`), json.RawMessage(`"`+path+`"`)
	raw := json.RawMessage(value)
	return jsonpatch.Operation{"op": &op, "path": &pointer, "value": &raw}
}

// field is a pointer as kubectl explain has it.
func field(pointer string) string {
	return strings.ReplaceAll(strings.TrimPrefix(pointer, "/"), "/", ".")
}

// skipped reports why nothing was injected.
func (o *offline) skipped(m *manifest, path string, decision *mutate.Decision) {
	what := "skipped, " + string(decision.Reason)
	if message := o.message(m, path, decision); message != "" {
		what += ": " + message
	}
	o.say(m, what)
}

// message is that of a decision. To annotate the workload in place of its pods is the usual
// mistake.
func (o *offline) message(m *manifest, path string, decision *mutate.Decision) string {
	_, misplaced := m.Metadata.Annotations[o.policy.RequestAnnotation()]
	if misplaced && path != "" && decision.Reason == mutate.ReasonNoAnnotation {
		return fmt.Sprintf("the annotation is on the %s itself: put it on %s.metadata", m.Kind, field(path))
	}
	return decision.Message()
}

func refs(sidecars []*conf.Sidecar) []string {
	list := make([]string, len(sidecars))
	for i, s := range sidecars {
		list[i] = s.Ref.String()
	}
	return list
}

// say reports what was done to an object.
func (o *offline) say(m *manifest, what string) {
	fmt.Fprintf(o.report, "%s: %s\n", title(m), what)
}
