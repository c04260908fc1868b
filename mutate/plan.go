package mutate

import (
	"slices"
	"strings"

	"k8s-sidecar-injector/conf"
)

// plan is the pod as it will be: what was received, and what is added to it or taken away.
// The rules fill it in one after the other, each for all sidecars in their order, so that each
// sees what the earlier ones added.
type plan struct {
	policy     *Policy
	object     *Object
	spec       *Spec // never nil
	sidecars   []*conf.Sidecar
	containers []container // received ones first
	injected   int         // how many of them are injected
	volumes    []volume    // added
	dropped    []int       // received volumes taken away, ascending

	account account // set, unless its name is empty

	// Who turns them on; nil if nobody does.
	hostNetwork, hostPID, hostIPC, shareProcesses *conf.Sidecar

	labels, annotations, nodeSelector []pair // added
	pullSecrets                       []conf.Element
	tolerations                       []conf.Toleration
	hostAliases                       []conf.Text

	notes *notes // of each element that is considered; nil where nobody asks

	conflicts     []string
	moreConflicts int // beyond those
}

// container is a container of the resulting pod, received or injected.
type container struct {
	list     string // containers or initContainers
	received *Container
	at       int // where a received one is in that list
	injected *conf.Container
	by       *conf.Sidecar // who brings an injected one
	first    bool          // an injected one comes before the received ones

	env        []conf.Element // added
	sources    []conf.EnvFrom // added, before the container's own
	mounts     []conf.Mount   // added
	dropsToken bool           // received mounts at tokenPath are taken away
}

// volume is one that a sidecar adds.
type volume struct {
	conf.Element

	by *conf.Sidecar
}

// pair is one that a sidecar adds, or the injector itself where by is nil.
type pair struct {
	conf.Pair

	by *conf.Sidecar
}

// account is a service account that a sidecar brings.
type account struct {
	name string
	by   *conf.Sidecar
}

const (
	containersList     = "containers"
	initContainersList = "initContainers"
)

// newPlan takes up the pod as received. Null elements of its lists are no containers: there
// is nothing that could be added to them.
func newPlan(policy *Policy, object *Object, sidecars []*conf.Sidecar) *plan {
	spec := object.Spec
	if spec == nil {
		spec = new(Spec)
	}
	most := len(spec.InitContainers) + len(spec.Containers)
	for _, s := range sidecars {
		most += containersOf(s)
	}
	p := &plan{policy: policy, object: object, spec: spec, sidecars: sidecars, containers: make([]container, 0, most)}
	p.receive(initContainersList, spec.InitContainers)
	p.receive(containersList, spec.Containers)
	return p
}

// containersOf counts the containers of a sidecar.
func containersOf(s *conf.Sidecar) int {
	return len(s.PrependInitContainers) + len(s.InitContainers) + len(s.PrependContainers) + len(s.Containers)
}

func (p *plan) receive(list string, received []*Container) {
	for i, c := range received {
		if c != nil {
			p.containers = append(p.containers, container{list: list, at: i, received: c})
		}
	}
}

// fill applies the rules.
func (p *plan) fill() {
	p.each((*plan).setServiceAccount)
	p.each((*plan).addContainers)
	p.orderInjected()
	p.each((*plan).addVolumes)
	p.each((*plan).addMounts)
	p.each((*plan).addEnv)
	p.each((*plan).addEnvFrom)
	p.dropVolumes()
	p.each((*plan).setHost)
	p.each((*plan).addMetadata)
	p.each((*plan).addScheduling)
	p.setDefaultContainer()
	p.addOwn()
	p.findConflicts()
}

func (p *plan) each(rule func(*plan, *conf.Sidecar)) {
	for _, s := range p.sidecars {
		rule(p, s)
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

// takesFrom tells whether the container gets env and mounts of the sidecar: an injected one
// does, a received one unless the sidecar applies to others only.
func (c *container) takesFrom(s *conf.Sidecar) bool {
	return c.injected != nil || s.AppliesTo.Covers(c.list == initContainersList, c.received.Name)
}

// who is the sidecar in a message that begins with the names of all.
func (p *plan) who(s *conf.Sidecar) string {
	if len(p.sidecars) == 1 {
		return "the sidecar"
	}
	return "sidecar " + s.Ref.String()
}

// neither is who does not have what is missing.
func (p *plan) neither() string {
	if len(p.sidecars) == 1 {
		return "neither the pod nor the sidecar has: add it to one of them"
	}
	return "neither the pod nor any of these sidecars has: add it to one of them"
}

// names lists sidecars in a message.
func names(sidecars []*conf.Sidecar) string {
	if len(sidecars) == 1 {
		return "sidecar " + sidecars[0].Ref.String()
	}
	refs := make([]string, len(sidecars))
	for i, s := range sidecars {
		refs[i] = s.Ref.String()
	}
	return "sidecars " + strings.Join(refs, ", ")
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

// join adds to a list elements that may belong to somebody else, whose memory is not written
// to.
func join[E any](list, added []E) []E {
	if len(list) == 0 {
		return slices.Clip(added)
	}
	return append(list, added...)
}
