package mutate

import "k8s-sidecar-injector/conf"

// place is where an injected container goes.
type place uint8

// The places, in the order of their containers in the plan.
const (
	prependInitContainers place = iota
	initContainers
	prependContainers
	containers

	places = iota
)

// field returns the field of the definition whose containers go to the place.
func (at place) field() string {
	return [places]string{"prependInitContainers", "initContainers", "prependContainers", "containers"}[at]
}

// list returns the list of the pod that contains the place.
func (at place) list() string {
	if at < prependContainers {
		return initContainersList
	}
	return containersList
}

// addContainers adds containers and init containers before and after those of the pod. A name
// that is in use in either list of the pod is a conflict. A name that another sidecar uses is a
// conflict unless both add the same container at the same place.
func (p *plan) addContainers(s *conf.Sidecar) {
	p.inject(s, prependInitContainers, s.PrependInitContainers)
	p.inject(s, initContainers, s.InitContainers)
	p.inject(s, prependContainers, s.PrependContainers)
	p.inject(s, containers, s.Containers)
	p.containers = p.containers[:p.received]
	for _, injected := range p.injected {
		p.containers = append(p.containers, injected...)
	}
}

func (p *plan) inject(s *conf.Sidecar, at place, list []conf.Container) {
	for i := range list {
		c := &list[i]
		if p.record(s, nil, at.field(), c.Name, p.checkContainer(s, at, c)) && p.fits(&c.RawJSON) {
			p.injected[at] = append(p.injected[at], p.allocate(p.newInjected(s, at, c)))
		}
	}
}

func (p *plan) newInjected(s *conf.Sidecar, at place, c *conf.Container) container {
	return container{
		name: c.Name, list: at.list(), at: at, injected: c, by: s, devices: c.Devices, ports: c.Ports,
		env:     p.ownList(additions(p, nil, c.Env, fromElement)),
		envFrom: p.ownList(additions(p, nil, c.EnvFrom, fromEnvFrom)),
		mounts:  p.ownList(additions(p, nil, c.VolumeMounts, fromMount)),
	}
}

// ownList returns a list of elements that an injected container has by itself.
func (p *plan) ownList(elements []addition) list {
	for i := range elements {
		p.fits(elements[i].json)
	}
	return list{added: elements}
}

// checkContainer looks for a container that has the name already. A definition has no name twice.
func (p *plan) checkContainer(s *conf.Sidecar, at place, c *conf.Container) omission {
	i := p.names.find(c.Name, len(p.allocated), func(i int) string { return p.allocated[i].name })
	if i < 0 {
		return omission{}
	}
	other := &p.allocated[i]
	if other.received != nil {
		p.conflict("the pod already has a container %q (%s[%d]): rename one of them", c.Name, other.list, other.index)
		return omission{text: podHasContainer}
	}
	if other.at != at {
		p.conflict("sidecar %s has the container %q in %s, and sidecar %s has it in %s: rename one of them",
			other.by.Ref, c.Name, other.at.field(), s.Ref, at.field())
	} else if field := differingField(containerJSON(other.injected), containerJSON(c)); field != "" {
		p.conflict("sidecars %s and %s have different containers %q: they differ in %s; rename one of them",
			other.by.Ref, s.Ref, c.Name, field)
	} else {
		return omission{text: sidecarAddsIt, by: other.by}
	}
	return omission{text: sidecarAddsOther, by: other.by}
}

// containerJSON returns the container as its sidecar defines it.
func containerJSON(c *conf.Container) []byte {
	var w patch
	injected := new(plan).newInjected(nil, containers, c)
	writeContainer(&w, &injected)
	return w.buffer
}
