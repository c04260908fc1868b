package mutate

import "k8s-sidecar-injector/conf"

// plan is the pod as it will be: what was received, and what is added to it or taken away.
// The rules fill it in one after the other, so each sees what the earlier ones added.
type plan struct {
	object     *Object
	spec       *Spec          // never nil
	containers []container    // received ones first
	injected   int            // how many of them are injected
	volumes    []conf.Element // added
	dropped    []int          // received volumes taken away, ascending

	serviceAccount string // set, unless empty
	hostNetwork    bool   // turned on
	hostPID        bool   // turned on

	conflicts     []string
	moreConflicts int // beyond those
}

// container is a container of the resulting pod, received or injected.
type container struct {
	list     string // containers or initContainers
	at       int    // where in that list
	received *Container
	injected *conf.Container

	env        []conf.Element // added
	mounts     []conf.Mount   // added
	dropsToken bool           // received mounts at tokenPath are taken away
}

const (
	containersList     = "containers"
	initContainersList = "initContainers"
)

// newPlan takes up the pod as received. Null elements of its lists are no containers: there
// is nothing that could be added to them.
func newPlan(object *Object, sidecar *conf.Sidecar) *plan {
	spec := object.Spec
	if spec == nil {
		spec = new(Spec)
	}
	most := len(spec.InitContainers) + len(spec.Containers) + len(sidecar.InitContainers) + len(sidecar.Containers)
	p := &plan{object: object, spec: spec, containers: make([]container, 0, most)}
	p.receive(initContainersList, spec.InitContainers)
	p.receive(containersList, spec.Containers)
	return p
}

func (p *plan) receive(list string, received []*Container) {
	for i, c := range received {
		if c != nil {
			p.containers = append(p.containers, container{list: list, at: i, received: c})
		}
	}
}

// ours are the injected containers.
func (p *plan) ours() []container {
	return p.containers[len(p.containers)-p.injected:]
}

func (c *container) name() string {
	if c.received != nil {
		return c.received.Name
	}
	return c.injected.Name
}

// without gives the elements that are not present yet. It allocates only where some are.
func without[E any](elements []E, present func(*E) bool) []E {
	for i := range elements {
		if !present(&elements[i]) {
			continue
		}
		rest := append(make([]E, 0, len(elements)-1), elements[:i]...)
		for j := i + 1; j < len(elements); j++ {
			if !present(&elements[j]) {
				rest = append(rest, elements[j])
			}
		}
		return rest
	}
	return elements
}
