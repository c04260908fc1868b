package mutate

import (
	"slices"

	"k8s-sidecar-injector/conf"
)

// addContainers adds containers and init containers before and after those of the pod. A name
// that is in use in either list of the pod is a conflict. A name that another sidecar uses is a
// conflict unless both add the same container in the same field.
func (p *plan) addContainers() {
	for _, s := range p.sidecars {
		c := s.Content()
		p.inject(s, "prependInitContainers", initContainersList, c.PrependInitContainers, &p.prependInitContainers)
		p.inject(s, "initContainers", initContainersList, c.InitContainers, &p.initContainers)
		p.inject(s, "prependContainers", containersList, c.PrependContainers, &p.prependContainers)
		p.inject(s, "containers", containersList, c.Containers, &p.appendContainers)
	}
}

func (p *plan) inject(s *conf.Sidecar, field, listName string, defined []conf.Container, injected *[]*container) {
	*injected = slices.Grow(*injected, len(defined))
	for i := range defined {
		c := &defined[i]
		next := container{
			name: c.Name, list: listName, injected: c, by: s, field: field, lists: p.own(c),
		}
		if p.record(s, nil, field, c.Name, p.checkContainer(&next)) && p.fits(&c.Element) {
			for i := range next.lists {
				for _, own := range next.lists[i].added {
					p.fits(own.Element)
				}
			}
			p.addOwner(&next, s)
			*injected = append(*injected, p.addContainer(next))
		}
	}
}

// checkContainer looks for a container that has the name already. A definition has no name twice. A container that
// two sidecars have equally belongs to both.
func (p *plan) checkContainer(next *container) omission {
	i := find(&p.containerIndex, next.name, len(p.containers), func(i int) string { return p.containers[i].name })
	if i < 0 {
		return omission{}
	}
	other := p.containers[i]
	if other.received != nil {
		p.conflict("the pod already has a container %q (%s[%d]): rename one of them", next.name, other.list, other.index)
		return omission{text: podHasContainer}
	}
	if other.field != next.field {
		p.conflict("sidecar %s has the container %q in %s, and sidecar %s has it in %s: rename one of them",
			other.by.Ref, next.name, other.field, next.by.Ref, next.field)
	} else if field := differingField(other.json(), next.json()); field != "" {
		p.conflict("sidecars %s and %s have different containers %q: they differ in %s; rename one of them",
			other.by.Ref, next.by.Ref, next.name, field)
	} else {
		p.addOwner(other, next.by)
		return omission{text: sidecarAddsIt, by: other.by}
	}
	return omission{text: sidecarAddsOther, by: other.by}
}

// json returns an injected container.
func (c *container) json() []byte {
	var w patch
	writeContainer(&w, c)
	return w.buffer
}
