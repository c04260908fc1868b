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

// manifestInjector injects manifests as the webhook and the API server inject pods: package mutate makes the patch, and
// the library of the API server applies it.
type manifestInjector struct {
	snapshot  *store.Snapshot
	policy    *mutate.Policy
	namespace string
	report    io.Writer
}

// podVisitor is called with a pod or pod template and its path in the manifest. It returns the replacement, or nil to
// keep the pod.
type podVisitor func(pod []byte, path string, m *manifest) ([]byte, error)

// visit calls the visitor for all pods in the object of a document and returns the changed object. Each error begins
// with the file and line of the document.
func (i *manifestInjector) visit(document conf.Document, object []byte, visitor podVisitor) ([]byte, error) {
	after, err := i.visitObject(object, itemKind{}, visitor)
	if err != nil {
		return nil, multierror.Prefix(err, fmt.Sprintf("%s:%d:", document.Origin.Name, document.Line))
	}
	return after, nil
}

// visitObject returns the same bytes if nothing changes.
func (i *manifestInjector) visitObject(object []byte, item itemKind, visitor podVisitor) ([]byte, error) {
	m, err := newManifest(object, item)
	if err != nil {
		return nil, err
	}
	if items, ok := m.items(); ok {
		return i.visitList(object, items, m.itemKind(), visitor)
	}
	path, found := templatePath(m.APIVersion, m.Kind)
	if !found {
		i.reportResult(m, "unchanged: no known pod template")
		return object, nil
	}
	after, err := visitTemplate(object, path, m, visitor)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.title(), err)
	}
	return after, nil
}

// templatePath returns the JSON pointer to the pod template of a kind, which is empty for a Pod.
func templatePath(apiVersion, kind string) (path string, found bool) {
	group, _, grouped := strings.Cut(apiVersion, "/")
	if !grouped {
		group = ""
	}
	switch group + "/" + kind {
	case "/Pod":
		return "", true
	case "/PodTemplate":
		return "/template", true
	case "/ReplicationController", "apps/Deployment", "apps/StatefulSet", "apps/DaemonSet", "apps/ReplicaSet", "batch/Job":
		return "/spec/template", true
	case "batch/CronJob":
		return "/spec/jobTemplate/spec/template", true
	}
	return "", false
}

// visitList visits all items. The error aggregates those of all items.
func (i *manifestInjector) visitList(
	object []byte, items []jsontext.Value, kind itemKind, visitor podVisitor,
) ([]byte, error) {
	patch := jsonpatch.Patch{}
	var errs []error
	for n, item := range items {
		after, err := i.visitObject(item, kind, visitor)
		if err != nil {
			errs = append(errs, fmt.Errorf("items[%d]: %w", n, err))
			continue
		}
		if string(after) != string(item) {
			patch = append(patch, replaceOperation(fmt.Sprintf("/items/%d", n), after))
		}
	}
	if len(patch) == 0 || len(errs) > 0 {
		return object, aggregate(errs...)
	}
	return patch.Apply(object)
}

func visitTemplate(object []byte, path string, m *manifest, visitor podVisitor) ([]byte, error) {
	pod, err := lookup(object, path)
	if err != nil {
		return nil, err
	}
	after, err := visitor(pod, path, m)
	switch {
	case err != nil:
		return nil, err
	case after == nil:
		return object, nil
	case path == "":
		return after, nil
	}
	return jsonpatch.Patch{replaceOperation(path, after)}.Apply(object)
}

// inject is a podVisitor. It reports the result. It returns an error if the pod would be denied, or if the API server
// would reject the injected pod.
func (i *manifestInjector) inject(pod []byte, path string, m *manifest) ([]byte, error) {
	request, err := i.newRequest(pod, path, m)
	if err != nil {
		return nil, err
	}
	decision := mutate.Pod(i.snapshot, i.policy, request)
	if decision.Outcome == mutate.Denied {
		return nil, fmt.Errorf("denied, %s: %s", decision.Reason, decision.Message())
	}
	if decision.Patch == nil {
		i.reportSkip(m, path, &decision)
		return nil, nil
	}
	injected, err := applyPatch(pod, decision.Patch)
	if err != nil {
		return nil, err
	}
	sidecars := strings.Join(refs(decision.Sidecars), ", ")
	if faults := introducedFaults(pod, injected, path); len(faults) > 0 {
		return nil, fmt.Errorf("with %s, the API server would reject %s", sidecars, listFaults(faults))
	}
	i.reportResult(m, "injected "+sidecars)
	return injected, nil
}

// newRequest returns the request that the API server would send when the pod is created.
func (i *manifestInjector) newRequest(pod []byte, path string, m *manifest) (*mutate.Request, error) {
	request := &mutate.Request{
		Operation: "CREATE",
		Resource:  mutate.Resource{Version: "v1", Resource: "pods"},
		Namespace: cmp.Or(m.Metadata.Namespace, i.namespace),
	}
	if err := jsonv2.Unmarshal(pod, &request.Object); err != nil {
		return nil, fmt.Errorf("not a valid pod: %w", mutate.DecodeError(err, path))
	}
	return request, nil
}

func (i *manifestInjector) reportSkip(m *manifest, path string, decision *mutate.Decision) {
	result := "skipped, " + string(decision.Reason)
	if message := i.message(m, path, decision); message != "" {
		result += ": " + message
	}
	i.reportResult(m, result)
}

// message returns the message of a decision, or another one for a common mistake: an annotation of the workload in
// place of the pod template.
func (i *manifestInjector) message(m *manifest, path string, decision *mutate.Decision) string {
	_, misplaced := m.Metadata.Annotations[i.policy.RequestAnnotation()]
	if misplaced && path != "" && decision.Reason == mutate.ReasonNoAnnotation {
		return fmt.Sprintf("the annotation is on the %s itself: put it on %s.metadata", m.Kind, fieldPath(path))
	}
	return decision.Message()
}

func (i *manifestInjector) reportResult(m *manifest, result string) {
	fmt.Fprintf(i.report, "%s: %s\n", m.title(), result)
}

func refs(sidecars []*conf.Sidecar) []string {
	list := make([]string, len(sidecars))
	for i, s := range sidecars {
		list[i] = s.Ref.String()
	}
	return list
}

func applyPatch(object, patch []byte) ([]byte, error) {
	decoded, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		return nil, err
	}
	return decoded.Apply(object)
}

// lookup returns the value at a JSON pointer without escapes.
func lookup(object []byte, pointer string) ([]byte, error) {
	value, parent := object, ""
	for _, name := range strings.Split(pointer, "/")[1:] {
		var members map[string]jsontext.Value
		if err := jsonv2.Unmarshal(value, &members); err != nil {
			return nil, fmt.Errorf("it has no %s: %w", fieldPath(pointer), mutate.DecodeError(err, parent))
		}
		parent += "/" + name
		if value = members[name]; value == nil {
			return nil, fmt.Errorf("it has no %s", fieldPath(pointer))
		}
	}
	return value, nil
}

func replaceOperation(path string, value []byte) jsonpatch.Operation {
	op, pointer := json.RawMessage(`"replace"`), json.RawMessage(`"`+path+`"`)
	raw := json.RawMessage(value)
	return jsonpatch.Operation{"op": &op, "path": &pointer, "value": &raw}
}

// fieldPath converts a JSON pointer to the notation of kubectl explain.
func fieldPath(pointer string) string {
	return strings.ReplaceAll(strings.TrimPrefix(pointer, "/"), "/", ".")
}
