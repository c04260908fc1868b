package mutate

import (
	"k8s-sidecar-injector/conf"
)

// plan is the resulting pod: the pod as received, what sidecars add to it, and what is removed.
type plan struct {
	policy   *Policy
	object   *Object
	spec     *Spec // never nil
	sidecars []*conf.Sidecar

	containers     []*container // received ones first, then injected ones
	containerIndex *index
	allocated      []container // the memory of containers
	received       int         // how many of containers are received

	// The injected containers, by the field of their definition.
	prependInitContainers, initContainers, prependContainers, appendContainers []*container

	lists        [podListCount]podList
	scalars      [scalarCount]scalar
	removesToken bool  // received mounts at tokenPath are removed
	removed      []int // indexes of the received volumes that are removed, ascending

	shared         []addition // memory of short lists
	ownAnnotations [3]conf.Element
	size           int // bytes of the added elements
	conflicts      conflicts

	mismatches     []mismatch
	missingSources []string // warnings

	details     *details    // nil unless a sidecar needs them
	specDetails specDetails // of the pod; empty unless a sidecar needs them

	completes bool // the pod was injected before

	explain bool
	results []ElementResult // empty unless explain is set
	patch   patch
}

// container is a container of the resulting pod.
type container struct {
	name, list string // list is containers or initContainers

	received *Container // nil if the container is injected
	index    int        // of a received container in its list

	injected *conf.Container // nil if the container is received
	by       *conf.Sidecar   // adds an injected container
	owners   sidecarSet      // have an injected container
	field    string          // of the definition that has an injected container

	lists     [containerListCount]list
	paths     []Named // of the mounts and devices that the container already has
	pathIndex *index  // of the paths of all mounts
	variables *variables
}

const (
	// maxAdded is how many bytes may be added to a pod. etcd rejects objects above 1.5 MiB.
	maxAdded = 3 << 19
	// operationSize is about the size of an operation without its value.
	operationSize = 64
	// sharedRoom is how many elements of short lists are allocated at once.
	sharedRoom = 48
)

const (
	containersList     = "containers"
	initContainersList = "initContainers"
)

// newPlan returns a plan that adds nothing to the pod. Null containers are left out because
// nothing can be added to them.
func newPlan(policy *Policy, object *Object, d *details, sidecars []*conf.Sidecar) plan {
	p := plan{policy: policy, object: object, spec: object.Spec, sidecars: sidecars}
	if p.spec == nil {
		p.spec = new(Spec)
	}
	if d != nil {
		p.details, p.specDetails = d, d.Spec
	}
	count := len(p.spec.InitContainers) + len(p.spec.Containers)
	for _, s := range sidecars {
		c := s.Content()
		count += len(c.PrependInitContainers) + len(c.InitContainers) + len(c.PrependContainers) + len(c.Containers)
	}
	p.containers = make([]*container, 0, count)
	p.allocated = make([]container, 0, count)
	p.lists, p.scalars = p.receiveLists(), p.receiveScalars()
	p.receive(initContainersList, p.spec.InitContainers)
	p.receive(containersList, p.spec.Containers)
	p.received = len(p.containers)
	return p
}

func (p *plan) receive(field string, containers []*Container) {
	for i, c := range containers {
		if c != nil {
			p.addContainer(container{
				name: c.Name, list: field, index: i, received: c, lists: c.lists(),
			})
		}
	}
}

// addContainer returns the new element of p.containers.
func (p *plan) addContainer(c container) *container {
	p.allocated = append(p.allocated, c)
	added := &p.allocated[len(p.allocated)-1]
	p.containers = append(p.containers, added)
	return added
}

// merge applies the rules. Each field is merged for all sidecars, in the order of the request, before
// the next field, so env and mounts of a sidecar also reach the containers of the others.
func (p *plan) merge() {
	p.setScalars()
	p.addContainers()
	p.readMounts()
	p.addToPod()
	p.extendAnnotations()
	p.copyFromPod()
	p.mergeContainers()
	p.removeTokenVolumes()
	p.addOwnAnnotations()
}

// add appends the elements of a field of a sidecar to a list of the container, or of the pod if c is nil.
// An element for which check returns an omission is left out.
func (p *plan) add(s *conf.Sidecar, c *container, l *list, field string, check check) {
	elements := s.Elements(field)
	for i := range elements {
		next := &elements[i]
		if p.record(s, c, field, next.Name, check(p, s, c, l, next)) && p.fits(next) {
			p.reserve(l, len(elements)-i)
			l.added = append(l.added, addition{next, s, field == prependEnv})
		}
	}
}

// reserve makes room for a number of elements in a list without room.
func (p *plan) reserve(l *list, count int) {
	if used := len(l.added); used == cap(l.added) {
		l.added = append(p.room(used+max(count, used)), l.added...)
	}
}

// room returns an empty list with room for a number of elements. Short lists share allocations.
func (p *plan) room(count int) []addition {
	if count > sharedRoom {
		return make([]addition, 0, count)
	}
	used := len(p.shared)
	if used+count > cap(p.shared) {
		p.shared, used = make([]addition, 0, sharedRoom), 0
	}
	p.shared = p.shared[:used+count]
	return p.shared[used : used : used+count]
}

// fits counts the size of an added element, and reports whether the additions are still small enough
// for an API server. If they are not, findConflicts reports a conflict.
func (p *plan) fits(element *conf.Element) bool {
	p.size += operationSize + len(element.JSON)
	return p.size <= maxAdded
}
