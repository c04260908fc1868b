package mutate

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// NewPodCreate returns a request to create a pod in a namespace. The error is one of decoding the pod, which must not
// be changed afterwards.
func NewPodCreate(namespace string, pod []byte) (*Request, error) {
	request := &Request{
		Operation: "CREATE", Resource: Resource{Version: "v1", Resource: "pods"}, Namespace: namespace,
	}
	return request, request.SetObject(pod)
}

// NewTemplateCreate returns a request to create the pod of the workload in a namespace. It is nil if neither the
// workload nor its template has an annotation in the annotation namespace. The error is one of decoding the template.
func (w *Workload) NewTemplateCreate(policy *Policy, namespace string) (*Request, error) {
	request, err := NewPodCreate(namespace, w.Template())
	if len(w.own(policy)) == 0 && len(policy.own(request.Object.metadata().Annotations)) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	pod, err := w.Pod(w.Template(), new(StandIns))
	if err != nil {
		return nil, err
	}
	return NewPodCreate(namespace, pod)
}

// Misplaced returns a message for each annotation in the annotation namespace that the workload has, but its pod
// lacks. There are few.
func (w *Workload) Misplaced(policy *Policy, pod *Object) (messages []string) {
	path, found := TemplatePath(w.APIVersion, w.Kind)
	if !found || path == "" {
		return nil
	}
	path = strings.ReplaceAll(path[1:], "/", ".") + ".metadata.annotations"
	annotations := pod.metadata().Annotations
	for _, key := range slices.Sorted(maps.Keys(w.own(policy))) {
		if _, found := annotations[key]; !found && len(messages) < maxListed {
			text := fmt.Sprintf("annotation %s is not on the pod template: put it into %s", quoted(key), path)
			messages = append(messages, text)
		}
	}
	return messages
}

// SamePods reports whether the annotations of the injector and the pod template are those of another version of the
// workload.
func (w *Workload) SamePods(policy *Policy, other *Workload) bool {
	return string(w.Template()) == string(other.Template()) && maps.Equal(w.own(policy), other.own(policy))
}

// own returns the annotations in the annotation namespace that the workload has outside its pod template.
func (w *Workload) own(policy *Policy) Map {
	own := policy.own(w.Metadata.Annotations)
	maps.Copy(own, policy.own(w.Spec.JobTemplate.Metadata.Annotations))
	return own
}

// own returns the annotations in the annotation namespace.
func (p *Policy) own(annotations Map) Map {
	own := make(Map)
	for key, value := range annotations {
		if strings.HasPrefix(key, p.key("")) {
			own[key] = value
		}
	}
	return own
}
