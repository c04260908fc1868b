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
	names      index                // of allocated
	removed    []int                // indexes of the received volumes that are removed, ascending

	// The sidecar that sets the service account or a namespace of the host; nil for none.
	account                                       *conf.Sidecar
	hostNetwork, hostPID, hostIPC, shareProcesses *conf.Sidecar

	volumes, labels, annotations, nodeSelector list
	pullSecrets, tolerations, hostAliases      list

	shared        []addition // memory of short lists
	size          int        // bytes of the added elements
	conflicts     []string   // the first few
	conflictCount int

	explain bool
	results []ElementResult // empty unless explain is set
	patch   patch
}

// container is a container of the resulting pod.
type container struct {
	name, list     string          // list is containers or initContainers
	index          int             // in that list as received
	received       *Container      // nil if the container is injected
	injected       *conf.Container // nil if the container is received
	by             *conf.Sidecar   // adds an injected container
	devices        []conf.Device
	receivedMounts Mounts
	ports          []conf.Port

	env, envFrom list
	mounts       list    // by the names of their volumes
	paths        []Named // of the received mounts
	pathIndex    index   // of the paths of all mounts

	at           place // of an injected container
	removesToken bool  // received mounts at tokenPath are removed
}

const (
	// maxAdded is how many bytes may be added to a pod. etcd rejects objects above 1.5 MiB.
	maxAdded = 3 << 19
	// operationSize is about the size of an operation without its value.
	operationSize = 64
	// sharedRoom is how many elements of short lists are allocated at once.
	sharedRoom = 32
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
	p.volumes.received, p.pullSecrets.received = p.spec.Volumes, p.spec.ImagePullSecrets
	p.receive(initContainersList, p.spec.InitContainers)
	p.receive(containersList, p.spec.Containers)
	p.received = len(p.containers)
	return p
}

func (p *plan) receive(field string, containers []*Container) {
	for i, c := range containers {
		if c != nil {
			p.containers = append(p.containers, p.allocate(container{
				name: c.Name, list: field, index: i, received: c, devices: c.VolumeDevices, ports: c.Ports, receivedMounts: c.VolumeMounts,
				env: list{received: c.Env}, envFrom: list{received: namesOf(c.EnvFrom, Source.name)},
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
	p.apply((*plan).setServiceAccount, (*plan).addContainers)
	p.readMounts()
	p.apply(
		(*plan).addVolumes,
		(*plan).addMounts,
		(*plan).addEnv,
		(*plan).addEnvFrom,
		(*plan).shareHostNamespaces,
		(*plan).addMetadata,
		(*plan).addScheduling,
	)
	for _, c := range p.containers {
		c.sortEnvFrom()
	}
	p.removeTokenVolumes()
	p.addOwnAnnotations()
}

func (p *plan) apply(rules ...func(*plan, *conf.Sidecar)) {
	for _, rule := range rules {
		for _, s := range p.sidecars {
			rule(p, s)
		}
	}
}

// appliesTo reports whether the sidecar's env, envFrom and volumeMounts apply to the container.
// They apply to every injected container.
func (c *container) appliesTo(s *conf.Sidecar) bool {
	return c.injected != nil || s.AppliesTo.Covers(c.list == initContainersList, c.name)
}

// addToPod adds elements of a sidecar to a list of the pod.
func (p *plan) addToPod(
	s *conf.Sidecar, field string, l *list, elements []addition, check func(*addition) omission,
) {
	p.add(s, nil, field, l, elements, check)
}

// addToContainers adds elements of a sidecar to a list of each container.
func (p *plan) addToContainers(
	s *conf.Sidecar, field string, listOf func(*container) *list, elements []addition,
	check func(*container, *addition) omission,
) {
	if len(elements) == 0 || p.size > maxAdded && !p.explain {
		return
	}
	for _, c := range p.containers {
		p.add(s, c, field, listOf(c), elements, func(next *addition) omission { return check(c, next) })
	}
}

// add appends elements of a sidecar to a list of the container, or of the pod if c is nil. An
// element for which check returns an omission is left out.
func (p *plan) add(
	s *conf.Sidecar, c *container, field string, l *list, elements []addition, check func(*addition) omission,
) {
	covered := c == nil || c.appliesTo(s)
	if !covered && !p.explain {
		return
	}
	for i := range elements {
		next, why := &elements[i], omission{text: notCovered}
		if covered {
			why = check(next)
		}
		if p.record(s, c, field, next.name, why) && p.fits(next.json) {
			if len(l.added) == 0 {
				l.added = p.room(len(elements) - i)
			}
			l.added = append(l.added, *next)
		}
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
func (p *plan) fits(element *conf.RawJSON) bool {
	p.size += operationSize + len(element.JSON)
	return p.size <= maxAdded
}

// checkName returns the omission of an element if the list has one with its name already. The text is
// for an element that no sidecar adds.
func checkName(l *list, next *addition, text string) omission {
	other, found := l.find(next.name)
	switch {
	case !found:
		return omission{}
	case other.by != nil:
		return omission{text: sidecarAddsIt, by: other.by}
	}
	return omission{text: text}
}
