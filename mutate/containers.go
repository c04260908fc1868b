package mutate

import "k8s-sidecar-injector/conf"

// addContainers appends the sidecar's containers and init containers in their order. A name
// that either list of the pod has is a conflict.
func (p *plan) addContainers(sidecar *conf.Sidecar) {
	p.injectInto(initContainersList, len(p.spec.InitContainers), sidecar.InitContainers)
	p.injectInto(containersList, len(p.spec.Containers), sidecar.Containers)
}

func (p *plan) injectInto(list string, next int, injected []conf.Container) {
	for i := range injected {
		if other := p.container(injected[i].Name); other != nil {
			p.conflict("the pod has a container %q already (%s[%d]): rename one of them",
				injected[i].Name, other.list, other.at)
			continue
		}
		p.containers = append(p.containers, container{list: list, at: next, injected: &injected[i]})
		p.injected++
		next++
	}
}

func (p *plan) container(name string) *container {
	for i := range p.containers {
		if p.containers[i].name() == name {
			return &p.containers[i]
		}
	}
	return nil
}
