package mutate

import (
	"bytes"
	"encoding/json"
	"slices"
)

// draft is a pod that a controller completes. Members of the wrong type are ignored.
type draft struct {
	metadata, spec map[string]any
}

func newDraft(template []byte) (*draft, error) {
	decoder := json.NewDecoder(bytes.NewReader(template))
	decoder.UseNumber()
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		return nil, err
	}
	return &draft{metadata: member(object, "metadata"), spec: member(object, "spec")}, nil
}

func (d *draft) encode() ([]byte, error) {
	return json.Marshal(map[string]any{"metadata": d.metadata, "spec": d.spec})
}

// member returns a member that is an object. It is created if it is missing or null.
func member(object map[string]any, key string) map[string]any {
	value, _ := object[key].(map[string]any)
	if value == nil {
		value = make(map[string]any)
		if object != nil {
			object[key] = value
		}
	}
	return value
}

// keepTemplateMetadata removes the metadata that controllers do not copy from a template.
func (d *draft) keepTemplateMetadata() {
	d.metadata = map[string]any{"labels": d.labels(), "annotations": d.annotations()}
}

func (d *draft) labels() map[string]any { return member(d.metadata, "labels") }

func (d *draft) annotations() map[string]any { return member(d.metadata, "annotations") }

// setGenerateName sets the prefix of the name. The API server adds the rest after admission.
func (d *draft) setGenerateName(name string) { d.metadata["generateName"] = name + "-" }

// claim adds the volumes of claims. They replace volumes of the same names.
func (d *draft) claim(claims []string, podName string) {
	volumes, _ := d.spec["volumes"].([]any)
	positions := make(map[string]int)
	for i, volume := range slices.Backward(volumes) {
		object, _ := volume.(map[string]any)
		if name, ok := object["name"].(string); ok {
			positions[name] = i
		}
	}
	for _, name := range claims {
		claim := map[string]any{"claimName": name + "-" + podName}
		volume := map[string]any{"name": name, "persistentVolumeClaim": claim}
		if i, found := positions[name]; found {
			volumes[i] = volume
		} else {
			positions[name] = len(volumes)
			volumes = append(volumes, volume)
		}
	}
	if len(claims) > 0 {
		d.spec["volumes"] = volumes
	}
}

// tolerate adds a toleration for a taint of Kubernetes, as AddOrUpdateTolerationInPodSpec does.
func (d *draft) tolerate(taint, effect string) {
	key := "node.kubernetes.io/" + taint
	toleration := map[string]any{"key": key, "operator": "Exists", "effect": effect}
	tolerations, _ := d.spec["tolerations"].([]any)
	i := slices.IndexFunc(tolerations, func(element any) bool {
		t, _ := element.(map[string]any)
		return t["key"] == key && t["operator"] == "Exists" && t["effect"] == effect && isEmpty(t["value"])
	})
	if i >= 0 {
		tolerations[i] = toleration
	} else {
		tolerations = append(tolerations, toleration)
	}
	d.spec["tolerations"] = tolerations
}

// bindToNode adds the affinity to one node. Merging and validation do not depend on its name.
func (d *draft) bindToNode() {
	nodes := member(member(d.spec, "affinity"), "nodeAffinity")
	field := map[string]any{"key": "metadata.name", "operator": "In", "values": []any{"node"}}
	nodes["requiredDuringSchedulingIgnoredDuringExecution"] = map[string]any{
		"nodeSelectorTerms": []any{map[string]any{"matchFields": []any{field}}},
	}
}

func isEmpty(value any) bool { return value == nil || value == "" }

// addVariable adds a variable with a field of the pod to the containers that do not have it.
func (d *draft) addVariable(name, path string) {
	variable := map[string]any{"name": name, "valueFrom": map[string]any{"fieldRef": map[string]any{"fieldPath": path}}}
	for _, list := range []string{initContainersList, containersList} {
		containers, _ := d.spec[list].([]any)
		for _, element := range containers {
			c, _ := element.(map[string]any)
			env, _ := c["env"].([]any)
			if c != nil && !slices.ContainsFunc(env, named(name)) {
				c["env"] = append(env, variable)
			}
		}
	}
}

// named returns a function that reports whether an element has the name.
func named(name string) func(any) bool {
	return func(element any) bool {
		object, _ := element.(map[string]any)
		return object["name"] == name
	}
}
