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

	containers []*container         // received ones first, then injected ones
	allocated  []container          // their memory
	received   int                  // how many of containers are received
	injected   [places][]*container // the others, by place
	volumes    []addition[*conf.Element]
	removed    []int // indexes of the received volumes that are removed, ascending

	// The sidecar that sets the service account or a namespace of the host; nil for none.
	account                                       *conf.Sidecar
	hostNetwork, hostPID, hostIPC, shareProcesses *conf.Sidecar

	labels, annotations, nodeSelector []addition[*conf.Pair]
	pullSecrets                       []addition[*conf.Element]
	tolerations                       []addition[*conf.Toleration]
	hostAliases                       []addition[*conf.RawJSON]

	size      int         // bytes of the added elements
	indexes   map[any]any // of long lists, see indexOf
	conflicts []string    // the first few

	conflictCount int

	explain bool
	results []ElementResult // empty unless explain is set
	patch   patch
}

// container is a container of the resulting pod.
type container struct {
	name, list string          // list is containers or initContainers
	index      int             // in that list as received
	received   *Container      // nil if the container is injected
	injected   *conf.Container // nil if the container is received
	by         *conf.Sidecar   // adds an injected container
	devices    []conf.Device
	ports      []conf.Port

	// The elements that a received container gets, or all elements of an injected one.
	env     []addition[*conf.Element]
	envFrom []addition[*conf.EnvFrom]
	mounts  []addition[*conf.Mount]

	at           place // of an injected container
	removesToken bool  // received mounts at tokenPath are removed
}

// addition is an element of a sidecar that is added to the pod or to a container.
type addition[P encoded] struct {
	element P
	by      *conf.Sidecar // nil if the element belongs to an injected container or to the injector
}

// encoded is an element that was encoded as JSON when it was loaded.
type encoded interface {
	Bytes() []byte
}

// element is a pointer to an encoded element of type E.
type element[E any] interface {
	*E
	encoded
}

const (
	// maxAdded is how many bytes may be added to a pod. etcd rejects objects above 1.5 MiB.
	maxAdded = 3 << 19
	// operationSize is about the size of an operation without its value.
	operationSize = 64
	// maxShared is how many elements addToContainers allocates at once.
	maxShared = 1024
)

const (
	containersList     = "containers"
	initContainersList = "initContainers"
)

// newPlan returns a plan that adds nothing to the pod. Null containers are left out because
// nothing can be added to them.
func newPlan(policy *Policy, object *Object, sidecars []*conf.Sidecar) plan {
	p := plan{policy: policy, object: object, spec: object.Spec, sidecars: sidecars}
	if p.spec == nil {
		p.spec = new(Spec)
	}
	count := len(p.spec.InitContainers) + len(p.spec.Containers)
	for _, s := range sidecars {
		count += len(s.PrependInitContainers) + len(s.InitContainers) + len(s.PrependContainers) + len(s.Containers)
	}
	p.containers = make([]*container, 0, count)
	p.allocated = make([]container, 0, count)
	p.receive(initContainersList, p.spec.InitContainers)
	p.receive(containersList, p.spec.Containers)
	p.received = len(p.containers)
	return p
}

func (p *plan) receive(list string, containers []*Container) {
	for i, c := range containers {
		if c != nil {
			p.containers = append(p.containers, p.allocate(container{
				name: c.Name, list: list, index: i, received: c, devices: c.VolumeDevices, ports: c.Ports,
			}))
		}
	}
}

// allocate returns a pointer to a container in memory that the plan has allocated for all of them.
func (p *plan) allocate(c container) *container {
	p.allocated = append(p.allocated, c)
	return &p.allocated[len(p.allocated)-1]
}

// merge applies the rules. Each rule runs for all sidecars, in the order of the request, before
// the next rule, so env and mounts of a sidecar also reach the containers of the others.
func (p *plan) merge() {
	for _, rule := range []func(*plan, *conf.Sidecar){
		(*plan).setServiceAccount,
		(*plan).addContainers,
		(*plan).addVolumes,
		(*plan).addMounts,
		(*plan).addEnv,
		(*plan).addEnvFrom,
		(*plan).shareHostNamespaces,
		(*plan).addMetadata,
		(*plan).addScheduling,
	} {
		for _, s := range p.sidecars {
			rule(p, s)
		}
	}
	for _, c := range p.containers {
		c.sortEnvFrom()
	}
	p.removeTokenVolumes()
	p.addOwnAnnotations()
}

// appliesTo reports whether the sidecar's env, envFrom and volumeMounts apply to the container.
// They apply to every injected container.
func (c *container) appliesTo(s *conf.Sidecar) bool {
	return c.injected != nil || s.AppliesTo.Covers(c.list == initContainersList, c.name)
}

// add appends elements of a sidecar to a list of the container, or of the pod if c is nil. An
// element for which check returns an omission is left out.
func add[E any, P element[E]](
	p *plan, s *conf.Sidecar, c *container, field string, list *[]addition[P], elements []E, check func(P) omission,
) {
	covered := c == nil || c.appliesTo(s)
	if !covered && !p.explain {
		return
	}
	for i := range elements {
		next := P(&elements[i])
		why := omission{text: notCovered}
		if covered {
			why = check(next)
		}
		if p.record(s, c, field, next, why) && p.fits(next) {
			if *list == nil {
				*list = make([]addition[P], 0, len(elements)-i)
			}
			*list = append(*list, addition[P]{element: next, by: s})
		}
	}
}

// addToContainers calls add for each container, unless the additions are too large already. The lists
// share one allocation, unless it is large.
func addToContainers[E any, P element[E]](
	p *plan, s *conf.Sidecar, field string, list func(*container) *[]addition[P], elements []E,
	check func(*plan, *container, P) omission,
) {
	if len(elements) == 0 || p.size > maxAdded && !p.explain {
		return
	}
	count := len(elements)
	memory := make([]addition[P], min(count*len(p.containers), maxShared))
	for _, c := range p.containers {
		if target := list(c); *target == nil && len(memory) >= count {
			*target, memory = memory[:0:count], memory[count:]
		}
		add(p, s, c, field, list(c), elements, func(element P) omission { return check(p, c, element) })
	}
}

// fits counts the size of an added element, and reports whether the additions are still small enough
// for an API server. If they are not, findConflicts reports a conflict.
func (p *plan) fits(element encoded) bool {
	p.size += operationSize + len(element.Bytes())
	return p.size <= maxAdded
}

// alreadyAdded returns the omission of an element if the list has one with its key already.
func alreadyAdded[K comparable, P encoded](p *plan, list *[]addition[P], next P, keyOf func(P) K) omission {
	if len(*list) > 0 {
		if other := findAdded(p, list, keyOf(next), keyOf); other != nil {
			return addedBy(other.by)
		}
	}
	return omission{}
}

// The keys of elements.
func elementKey(e *conf.Element) string               { return e.Name }
func envFromKey(e *conf.EnvFrom) conf.EnvSource       { return e.EnvSource }
func pairKey(e *conf.Pair) string                     { return e.Key }
func tolerationKey(e *conf.Toleration) conf.Tolerated { return e.Tolerated }
func textKey(e *conf.RawJSON) string                  { return string(e.JSON) }
