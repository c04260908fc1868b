package mutate

import "k8s-sidecar-injector/conf"

// defaultContainer is the annotation for the container that kubectl uses by default. Without the
// annotation, kubectl uses the first container.
const defaultContainer = "kubectl.kubernetes.io/default-container"

// addOwnAnnotations marks the pod as injected. With these annotations, a second review only completes containers.
func (p *plan) addOwnAnnotations() {
	own := p.ownAnnotations[:0]
	if name := p.defaultContainer(); name != "" {
		own = append(own, conf.Element{Name: defaultContainer, Value: name})
	}
	own = append(own,
		conf.Element{Name: p.policy.key(injectedKey), Value: Injections(p.sidecars)},
		conf.Element{Name: p.policy.key(statusKey), Value: statusInjected})
	annotations := &p.lists[annotationsMap]
	p.reserve(&annotations.list, len(own))
	for i := range own {
		annotations.added = append(annotations.added, addition{Element: &own[i]})
	}
}

// defaultContainer returns the pod's first container if a sidecar prepends another one, so that it
// stays the default for kubectl. It returns nothing if the annotation exists.
func (p *plan) defaultContainer() string {
	if _, found := p.lists[annotationsMap].find(defaultContainer); found || len(p.prependContainers) == 0 {
		return ""
	}
	for _, c := range p.containers[:p.received] {
		if c.list == containersList && c.name != "" {
			return c.name
		}
	}
	return ""
}
