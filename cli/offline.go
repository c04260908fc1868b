package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/store"

	jsonpatch "github.com/evanphx/json-patch/v5"
	jsonv2 "github.com/go-json-experiment/json"
)

// offline does to manifests what the webhook and the API server do to pods: the same engine
// makes the patch, and the API server's own library applies it.
type offline struct {
	snapshot  *store.Snapshot
	policy    *mutate.Policy
	namespace string
	report    io.Writer
}

// manifest is what is read of an object to find its pod.
type manifest struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name         string `json:"name"`
		GenerateName string `json:"generateName"`
		Namespace    string `json:"namespace"`
	} `json:"metadata"`
	Items []json.RawMessage `json:"items"`
}

// object gives the object with sidecars, or the same bytes where nothing is injected.
func (o *offline) object(object []byte) ([]byte, error) {
	var m manifest
	if err := json.Unmarshal(object, &m); err != nil {
		return nil, fmt.Errorf("not a Kubernetes object: %w", err)
	}
	if m.Kind == "" || m.APIVersion == "" {
		return nil, errors.New("not a Kubernetes object: kind or apiVersion is missing")
	}
	if m.APIVersion == "v1" && strings.HasSuffix(m.Kind, "List") {
		return o.list(object, m.Items)
	}
	path, found := templatePath(m.APIVersion, m.Kind)
	if !found {
		o.say(&m, "left alone: it has no pod template that the injector knows")
		return object, nil
	}
	return o.template(object, path, &m)
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

// list looks into each item.
func (o *offline) list(object []byte, items []json.RawMessage) ([]byte, error) {
	patch := jsonpatch.Patch{}
	for i, item := range items {
		injected, err := o.object(item)
		if err != nil {
			return nil, fmt.Errorf("items[%d]: %w", i, err)
		}
		if string(injected) != string(item) {
			patch = append(patch, replacement(fmt.Sprintf("/items/%d", i), injected))
		}
	}
	if len(patch) == 0 {
		return object, nil
	}
	return patch.Apply(object)
}

// template injects into the pod at the path.
func (o *offline) template(object []byte, path string, m *manifest) ([]byte, error) {
	pod, err := at(object, path)
	if err != nil {
		return nil, err
	}
	decision, err := o.decide(pod, m)
	if err != nil {
		return nil, err
	}
	if decision.Outcome == mutate.Denied {
		return nil, fmt.Errorf("%s: denied, %s: %s", title(m), decision.Reason, decision.Message)
	}
	if decision.Patch == nil {
		o.say(m, strings.TrimSuffix(fmt.Sprintf("skipped, %s: %s", decision.Reason, decision.Message), ": "))
		return object, nil
	}
	o.say(m, "injected "+decision.Sidecars[0].Ref.String())
	injected, err := apply(pod, decision.Patch)
	if err != nil || path == "" {
		return injected, err
	}
	return jsonpatch.Patch{replacement(path, injected)}.Apply(object)
}

// decide asks the engine as the webhook does when the pod is created.
func (o *offline) decide(pod []byte, m *manifest) (mutate.Decision, error) {
	request := mutate.Request{
		Operation: "CREATE",
		Resource:  mutate.Resource{Version: "v1", Resource: "pods"},
		Namespace: m.Metadata.Namespace,
	}
	if request.Namespace == "" {
		request.Namespace = o.namespace
	}
	if err := jsonv2.Unmarshal(pod, &request.Object); err != nil {
		return mutate.Decision{}, fmt.Errorf("%s: not a valid pod: %w", title(m), err)
	}
	return mutate.Pod(o.snapshot, o.policy, &request), nil
}

func apply(object, patch []byte) ([]byte, error) {
	decoded, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		return nil, err
	}
	return decoded.Apply(object)
}

// at gives the value at a pointer that has no escapes; an absent one is null.
func at(object []byte, pointer string) ([]byte, error) {
	value := object
	for _, name := range strings.Split(pointer, "/")[1:] {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(value, &members); err != nil {
			return nil, err
		}
		if value = members[name]; value == nil {
			return nil, fmt.Errorf("it has no %s", strings.ReplaceAll(pointer[1:], "/", "."))
		}
	}
	return value, nil
}

func replacement(path string, value []byte) jsonpatch.Operation {
	op, pointer := json.RawMessage(`"replace"`), json.RawMessage(`"`+path+`"`)
	raw := json.RawMessage(value)
	return jsonpatch.Operation{"op": &op, "path": &pointer, "value": &raw}
}

// say reports what was done to an object.
func (o *offline) say(m *manifest, what string) {
	fmt.Fprintf(o.report, "%s: %s\n", title(m), what)
}

// title names an object as kubectl does: deployment/web.
func title(m *manifest) string {
	name := m.Metadata.Name
	if name == "" {
		name = m.Metadata.GenerateName + "*"
	}
	return strings.ToLower(m.Kind) + "/" + name
}
