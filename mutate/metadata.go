package mutate

import "k8s-sidecar-injector/conf"

// defaultContainer is the annotation for the container that kubectl uses by default. Without the
// annotation, kubectl uses the first container.
const defaultContainer = "kubectl.kubernetes.io/default-container"

// addMetadata adds the labels and annotations whose keys the pod does not have.
func (p *plan) addMetadata(s *conf.Sidecar) {
	metadata := p.object.metadata()
	p.addPairs(s, "labels", &p.labels, s.Labels, metadata.Labels)
	p.addPairs(s, "annotations", &p.annotations, s.Annotations, metadata.Annotations)
}

func (p *plan) addPairs(s *conf.Sidecar, field string, l *list, pairs []conf.Pair, received Map) {
	check := func(_ *container, next *addition) omission {
		if _, found := received[next.name]; found {
			return omission{text: podHasIt}
		}
		return l.checkName(next, podHasIt)
	}
	p.add(s, nil, field, l, additions(p, s, pairs, fromPair), check)
}

// addOwnAnnotations marks the pod as injected. The status keeps a second review, such as one caused
// by reinvocationPolicy: IfNeeded, from injecting again.
func (p *plan) addOwnAnnotations() {
	own := make([]addition, 0, 3)
	if name := p.defaultContainer(); name != "" {
		own = append(own, addition{name: defaultContainer, value: name})
	}
	own = append(own,
		addition{name: p.policy.key(injectedKey), value: Injections(p.sidecars)},
		addition{name: p.policy.key(statusKey), value: statusInjected})
	p.annotations.added = append(p.annotations.added, own...)
}

// defaultContainer returns the pod's first container if a sidecar prepends another one, so that it
// stays the default for kubectl. It returns nothing if the annotation exists.
func (p *plan) defaultContainer() string {
	_, received := p.object.metadata().Annotations[defaultContainer]
	_, added := p.annotations.find(defaultContainer)
	if len(p.prependContainers) == 0 || received || added {
		return ""
	}
	for _, c := range p.containers[:p.received] {
		if c.list == containersList && c.name != "" {
			return c.name
		}
	}
	return ""
}
