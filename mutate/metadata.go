package mutate

import (
	"slices"

	"k8s-sidecar-injector/conf"
)

// defaultContainer is the annotation for the container that kubectl uses by default. Without the
// annotation, kubectl uses the first container.
const defaultContainer = "kubectl.kubernetes.io/default-container"

// addMetadata adds the labels and annotations whose keys the pod does not have.
func (p *plan) addMetadata(s *conf.Sidecar) {
	metadata := p.object.metadata()
	p.addPairs(s, "labels", &p.labels, s.Labels, metadata.Labels)
	p.addPairs(s, "annotations", &p.annotations, s.Annotations, metadata.Annotations)
}

func (p *plan) addPairs(
	s *conf.Sidecar, field string, list *[]addition[*conf.Pair], pairs []conf.Pair, received Map,
) {
	add(p, s, nil, field, list, pairs, func(next *conf.Pair) omission {
		if _, found := received[next.Key]; found {
			return omission{text: podHasIt}
		}
		return alreadyAdded(p, list, next, pairKey)
	})
}

// addOwnAnnotations marks the pod as injected. The status keeps a second review, such as one caused
// by reinvocationPolicy: IfNeeded, from injecting again.
func (p *plan) addOwnAnnotations() {
	own := []conf.Pair{
		{Key: defaultContainer, Value: p.defaultContainer()},
		{Key: p.policy.key(injectedKey), Value: Injections(p.sidecars)},
		{Key: p.policy.key(statusKey), Value: statusInjected},
	}
	p.annotations = slices.Grow(p.annotations, len(own))
	for i := range own {
		if own[i].Value != "" {
			p.annotations = append(p.annotations, addition[*conf.Pair]{element: &own[i]})
		}
	}
}

// defaultContainer returns the pod's first container if a sidecar prepends another one, so that it
// stays the default for kubectl. It returns nothing if the annotation exists.
func (p *plan) defaultContainer() string {
	_, received := p.object.metadata().Annotations[defaultContainer]
	isDefault := func(a addition[*conf.Pair]) bool { return a.element.Key == defaultContainer }
	if len(p.injected[prependContainers]) == 0 || received || slices.ContainsFunc(p.annotations, isDefault) {
		return ""
	}
	for _, c := range p.containers[:p.received] {
		if c.list == containersList && c.name != "" {
			return c.name
		}
	}
	return ""
}
