package mutate

import (
	"cmp"
	"slices"

	"k8s-sidecar-injector/conf"
)

// addContainers adds the sidecar's containers and init containers in their order, before and
// behind the pod's own. A name that either list of the pod has is a conflict; one that an
// earlier sidecar brought too, unless it is the same container at the same place.
func (p *plan) addContainers(s *conf.Sidecar) {
	p.inject(s, initContainersList, true, s.PrependInitContainers)
	p.inject(s, initContainersList, false, s.InitContainers)
	p.inject(s, containersList, true, s.PrependContainers)
	p.inject(s, containersList, false, s.Containers)
}

func (p *plan) inject(s *conf.Sidecar, list string, first bool, injected []conf.Container) {
	for i := range injected {
		next := container{list: list, first: first, injected: &injected[i], by: s}
		other := p.container(injected[i].Name)
		if other == nil {
			p.containers = append(p.containers, next)
			p.injected++
		} else {
			p.findOther(other, &next)
		}
		if p.notes != nil {
			p.notes.container(s, &next, other)
		}
	}
}

// findOther judges two containers of one name.
func (p *plan) findOther(other, next *container) {
	name := next.injected.Name
	if other.received != nil {
		p.conflict("the pod has a container %q already (%s[%d]): rename one of them", name, other.list, other.at)
		return
	}
	if other.field() != next.field() {
		p.conflict("%s has the container %q in %s, and %s in %s: rename one of them",
			names([]*conf.Sidecar{other.by}), name, other.field(), names([]*conf.Sidecar{next.by}), next.field())
		return
	}
	if at, differ := difference(written(other.injected), written(next.injected)); differ {
		p.conflict("sidecars %s and %s both have a container %q, which differ in %s: rename one of them", other.by.Ref, next.by.Ref, name, at)
	}
}

// field is the field of the definition that an injected container comes from.
func (c *container) field() string {
	switch {
	case !c.first:
		return c.list
	case c.list == containersList:
		return "prependContainers"
	}
	return "prependInitContainers"
}

// written is an injected container without what merging adds to it.
func written(c *conf.Container) []byte {
	var w patch
	writeContainer(&w, &container{injected: c})
	return w.buffer
}

// orderInjected brings together what the sidecars bring for each place, in their order.
func (p *plan) orderInjected() {
	if len(p.sidecars) > 1 {
		slices.SortStableFunc(p.ours(), func(a, b container) int { return cmp.Compare(a.place(), b.place()) })
	}
}

func (c *container) place() int {
	place := 0
	if c.list == containersList {
		place = 2
	}
	if !c.first {
		place++
	}
	return place
}

func (p *plan) container(name string) *container {
	for i := range p.containers {
		if p.containers[i].name() == name {
			return &p.containers[i]
		}
	}
	return nil
}
