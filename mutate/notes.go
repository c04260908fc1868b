package mutate

import "k8s-sidecar-injector/conf"

// notes are what Explain gathers while a plan is filled. The rules call them for each element,
// before or after they add it, and only where somebody asks: Pod has none.
type notes struct {
	all []Considered
	by  map[noted]*conf.Sidecar // who added what
}

// noted is an element that was added, to a container or, where that is nil, to the pod.
type noted struct {
	container   *container
	field, name string
}

const (
	podHasIt       = "the pod has it already"
	containerHasIt = "the container has it already"
)

// add notes an element; it is added if there is no reason why not.
func (n *notes) add(s *conf.Sidecar, c *container, field, name, why string) {
	next := Considered{Sidecar: s, Field: field, Name: name, Added: why == "", Why: why}
	if c != nil {
		next.List, next.Container = c.list, c.name()
	}
	n.all = append(n.all, next)
	if next.Added {
		n.by[noted{c, field, name}] = s
	}
}

// brought tells who has added an element of that name, if anybody has.
func (n *notes) brought(c *container, field, name string) string {
	if by := n.by[noted{c, field, name}]; by != nil {
		return broughtBy(by, "it")
	}
	return ""
}

func broughtBy(s *conf.Sidecar, what string) string {
	return "sidecar " + s.Ref.String() + " brought " + what + " already"
}

// takeBack is for a decision that leaves the pod as it is.
func (n *notes) takeBack() {
	for i := range n.all {
		if c := &n.all[i]; c.Added {
			c.Added, c.Why = false, "it would be added, were there no conflict"
		}
	}
}

// ofPod notes what goes into the pod unless that has it by itself, or from an earlier sidecar.
func (n *notes) ofPod(s *conf.Sidecar, field, name string, own bool) {
	why := podHasIt
	if !own {
		why = n.brought(nil, field, name)
	}
	n.add(s, nil, field, name, why)
}

// ofContainer notes what goes into a container unless that has it by itself, or from an earlier
// sidecar.
func (n *notes) ofContainer(s *conf.Sidecar, c *container, field, name string, own bool) {
	why := containerHasIt
	switch {
	case !c.takesFrom(s):
		why = notCovered
	case !own:
		why = n.brought(c, field, name)
	}
	n.add(s, c, field, name, why)
}

const notCovered = "appliesTo does not cover the container"

// account notes a service account before it is set.
func (n *notes) account(s *conf.Sidecar, p *plan) {
	wanted, own, why := s.ServiceAccountName, p.spec.account(), ""
	switch {
	case wanted == defaultAccount:
		why = "a pod that names none has it anyway"
	case own == wanted:
		why = podHasIt
	case own != defaultAccount:
		why = "the pod has another one, " + quoted(own)
	case p.account.by != nil && p.account.name != wanted:
		why = broughtBy(p.account.by, "another one")
	case p.account.by != nil:
		why = broughtBy(p.account.by, "it")
	}
	n.add(s, nil, "serviceAccountName", wanted, why)
}

// container notes an injected container, beside the other one of its name if there is one.
func (n *notes) container(s *conf.Sidecar, next, other *container) {
	why := ""
	switch {
	case other == nil:
	case other.received != nil:
		why = "the pod has a container of that name"
	case other.field() != next.field(), differ(written(other.injected), written(next.injected)):
		why = broughtBy(other.by, "another one of that name")
	default:
		why = broughtBy(other.by, "it")
	}
	n.add(s, nil, next.field(), next.injected.Name, why)
}

// volume notes a volume, beside the one of its name that an earlier sidecar brought, or nil.
func (n *notes) volume(s *conf.Sidecar, v *conf.Element, received bool, earlier *volume) {
	if !received && earlier != nil && differ(earlier.JSON, v.JSON) {
		n.add(s, nil, "volumes", v.Name, broughtBy(earlier.by, "another one of that name"))
		return
	}
	n.ofPod(s, "volumes", v.Name, received)
}

func differ(a, b []byte) bool {
	_, differ := difference(a, b)
	return differ
}

// selector notes what a node must have. Another value is a conflict, other than for labels and
// annotations.
func (n *notes) selector(s *conf.Sidecar, next conf.Pair, present *Pairs, earlier *pair) {
	own, received := present.find(next.Key)
	switch {
	case received && own != next.Value:
		n.add(s, nil, nodeSelector, next.Key, "the pod has another value of it")
	case !received && earlier != nil && earlier.Value != next.Value:
		n.add(s, nil, nodeSelector, next.Key, broughtBy(earlier.by, "another value of it"))
	default:
		n.ofPod(s, nodeSelector, next.Key, received)
	}
}

// mounts notes the mounts of a sidecar before they are added to a container.
func (n *notes) mounts(s *conf.Sidecar, c *container) {
	for i := range s.VolumeMounts {
		m := &s.VolumeMounts[i]
		n.add(s, c, "volumeMounts", m.Name, n.whyNotMount(s, c, m))
	}
}

func (n *notes) whyNotMount(s *conf.Sidecar, c *container, m *conf.Mount) string {
	switch {
	case !c.takesFrom(s):
		return notCovered
	case c.uses(func(volume, _ string) bool { return volume == m.Name }):
		return "the container uses the volume already"
	case c.usesLike(m):
		return "the container has another volume at its path"
	}
	if why := n.brought(c, "volumeMounts", m.Name); why != "" {
		return why
	}
	for i := range c.mounts {
		if other := &c.mounts[i]; samePath(other.Path, m.Path) {
			return broughtBy(n.by[noted{c, "volumeMounts", other.Name}], "another volume at its path")
		}
	}
	return ""
}

// env notes the variables of a sidecar before they are added to a container.
func (n *notes) env(s *conf.Sidecar, c *container) {
	for i := range s.Env {
		n.ofContainer(s, c, "env", s.Env[i].Name, c.ownEnv(s.Env[i].Name))
	}
}

// envFrom notes the sources of a sidecar before they are added to a container. A definition may
// have one twice, and then a container gets it twice.
func (n *notes) envFrom(s *conf.Sidecar, c *container) {
	for i := range s.EnvFrom {
		e := &s.EnvFrom[i]
		if !c.ownSource(e.EnvSource) && n.by[noted{c, "envFrom", e.String()}] == s {
			n.add(s, c, "envFrom", e.String(), "")
			continue
		}
		n.ofContainer(s, c, "envFrom", e.String(), c.ownSource(e.EnvSource))
	}
}
