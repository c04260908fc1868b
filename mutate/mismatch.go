package mutate

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	corev1 "k8s.io/api/core/v1"

	"k8s-sidecar-injector/conf"
)

// mismatch is an element of a sidecar that is left out because of what the pod or container has in its place.
type mismatch struct {
	sidecar   *conf.Sidecar
	field     string // of the definition
	element   *conf.Element
	container *container // nil for a volume of the pod
}

// maxMismatches is how many mismatches of a pod are examined, and maxMismatchWarnings is how many it is warned of.
const (
	maxMismatches       = 32
	maxMismatchWarnings = 5
)

// mismatch records that an element is left out. The container is nil for a volume of the pod. A container of the same
// sidecar is as its author wants it.
func (p *plan) mismatch(s *conf.Sidecar, field string, element *conf.Element, c *container) {
	if len(p.mismatches) < maxMismatches && (c == nil || c.by != s) {
		p.mismatches = append(p.mismatches, mismatch{s, field, element, c})
	}
}

// warnOfMismatches warns of sidecars that are injected, but may not work as intended. It never ends a review.
func (r *review) warnOfMismatches() (Reason, error) {
	texts := append(r.plan.omittedOfContainers(), r.otherVolumes()...)
	texts = append(texts, r.plan.sharedPorts()...)
	texts = append(texts, r.plan.missingSources...)
	r.decision.Warnings = append(r.decision.Warnings, texts[:min(len(texts), maxMismatchWarnings)]...)
	return "", nil
}

// omittedOfContainers returns warnings of mounts that are left out because their paths are in use, and of variables
// that cannot be extended.
func (p *plan) omittedOfContainers() (texts []string) {
	for _, m := range p.mismatches {
		switch m.field {
		case "volumeMounts":
			texts = append(texts, fmt.Sprintf(
				"volume %s of sidecar %s is not mounted in container %s: another volume is mounted at %s",
				quoted(m.element.Name), m.sidecar.Ref, quoted(m.container.name), quoted(m.element.Value)))
		case extendEnv:
			texts = append(texts, fmt.Sprintf(
				"variable %s of container %s is not extended by sidecar %s: the variable has valueFrom",
				quoted(m.element.Name), quoted(m.container.name), m.sidecar.Ref))
		}
	}
	return texts
}

// otherVolumes returns warnings of volumes that are left out because the pod has a volume of the same name with another
// source. The API server has added defaults to the pod, so only fields that the sidecar sets are compared.
func (r *review) otherVolumes() (texts []string) {
	omitted := slices.DeleteFunc(slices.Clone(r.plan.mismatches), func(m mismatch) bool { return m.container != nil })
	if len(omitted) == 0 {
		return nil
	}
	d, err := r.readDetails()
	if err != nil || d == nil {
		return nil
	}
	received := make(map[string]jsontext.Value)
	for _, volume := range d.Spec.Volumes {
		var named Named
		_ = json.Unmarshal(volume, &named) // the pod was decoded before
		received[named.Name] = volume
	}
	for _, m := range omitted {
		if !includes(decodeValue(received[m.element.Name]), decodeValue(m.element.JSON)) {
			texts = append(texts, fmt.Sprintf("volume %s of sidecar %s is not added: the pod has another volume of that name",
				quoted(m.element.Name), m.sidecar.Ref))
		}
	}
	return texts
}

func decodeValue(text jsontext.Value) (value any) {
	_ = json.Unmarshal(text, &value) // the syntax was checked before
	return value
}

// includes reports whether a value has all that another one sets.
func includes(value, part any) bool {
	switch part := part.(type) {
	case map[string]any:
		object, ok := value.(map[string]any)
		for key := range part {
			if !includes(object[key], part[key]) {
				return false
			}
		}
		return ok
	case []any:
		list, ok := value.([]any)
		return ok && slices.EqualFunc(list, part, includes)
	}
	return value == part
}

// containerPort is a port in the network namespace of the pod.
type containerPort struct {
	number   int32
	protocol corev1.Protocol
}

// sharedPorts returns warnings of ports that two containers listen on, at least one of them injected. Ports of the node
// are conflicts, see findPortConflicts.
func (p *plan) sharedPorts() (texts []string) {
	if p.usesHostNetwork() {
		return nil
	}
	users := make(map[containerPort]*container)
	for _, c := range p.containers {
		if c.runsAlone() {
			continue
		}
		for _, port := range c.ports() {
			key := containerPort{port.ContainerPort, cmp.Or(port.Protocol, corev1.ProtocolTCP)}
			first := users[key]
			if first == nil {
				users[key] = c
			} else if first != c && (first.injected != nil || c.injected != nil) {
				texts = append(texts, fmt.Sprintf("containers %s and %s both have port %d/%s",
					quoted(first.name), quoted(c.name), key.number, key.protocol))
			}
		}
	}
	return texts
}
