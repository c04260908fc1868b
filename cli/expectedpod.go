package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"

	"k8s-sidecar-injector/mutate"
)

// decodeWorkload returns the view of the object.
func (t *podTemplate) decodeWorkload() (*mutate.Workload, error) {
	w := new(mutate.Workload)
	if err := jsonv2.Unmarshal(t.object, w); err != nil {
		return nil, mutate.DecodeError(err, "")
	}
	w.APIVersion, w.Kind = t.APIVersion, t.Kind // items of a typed list may omit them
	return w, nil
}

// expectedPod returns the pod that the controller of the object would create.
func (r *podResult) expectedPod(standIns *mutate.StandIns) ([]byte, error) {
	if r.path == "" {
		return r.pod, nil
	}
	return r.workload.Pod(r.pod, standIns)
}

// showStandIns replaces the stand-ins in the patch and in the names of elements, such as kafka-0 by kafka-<ordinal>.
// They stay if the decision depends on them.
func (i *manifestInjector) showStandIns(r *podResult, standIns *mutate.StandIns) error {
	pod, err := r.expectedPod(standIns.Other())
	if err != nil {
		return err
	}
	again, err := mutate.NewPodCreate(r.namespace, pod)
	if err != nil {
		return err
	}
	again.NamespaceDefault = func() (string, bool, error) {
		return r.decision.Request, r.decision.RequestedBy == mutate.SourceNamespace, nil
	}
	other, elements := mutate.Explain(i.snapshot, i.policy, again)
	if other.Patch == nil || bytes.Equal(other.Patch, r.decision.Patch) {
		return nil
	}
	first, err := decodeTree(r.decision.Patch)
	if err != nil {
		return err
	}
	second, err := decodeTree(other.Patch)
	if err != nil {
		return err
	}
	r.decision.Patch, err = json.Marshal(showTree(standIns, first, second))
	if len(elements) == len(r.elements) {
		for i := range elements {
			r.elements[i].Name = standIns.Show(r.elements[i].Name, elements[i].Name)
		}
	}
	for i, v := range other.Parameters {
		r.decision.Parameters[i].Value = standIns.Show(r.decision.Parameters[i].Value, v.Value)
	}
	r.standIns = standIns.Shown()
	return err
}

// standInNote returns a note for a manifest with names of stand-ins.
func (r *podResult) standInNote() string {
	if r.standIns == nil {
		return ""
	}
	return fmt.Sprintf("; %s: known only to the controller", strings.Join(r.standIns, ", "))
}

// decodeTree decodes JSON without loss of digits.
func decodeTree(text []byte) (value any, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	err = decoder.Decode(&value)
	return value, err
}

// showTree shows the strings and numbers of the first value. Numbers with a stand-in become strings.
func showTree(standIns *mutate.StandIns, first, second any) any {
	switch a := first.(type) {
	case map[string]any:
		b, _ := second.(map[string]any)
		for key := range a {
			a[key] = showTree(standIns, a[key], b[key])
		}
	case []any:
		b, _ := second.([]any)
		for i := range a {
			if i < len(b) {
				a[i] = showTree(standIns, a[i], b[i])
			}
		}
	case string:
		if b, ok := second.(string); ok {
			return standIns.Show(a, b)
		}
	case json.Number:
		if b, ok := second.(json.Number); ok && a != b {
			return standIns.Show(string(a), string(b))
		}
	}
	return first
}
