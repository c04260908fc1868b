package mutate

import (
	"slices"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/store"
)

// Considered is one element of a sidecar and what became of it in one pod.
type Considered struct {
	Sidecar *conf.Sidecar
	// Field is the field of the definition, such as env.
	Field string
	// Name is the element's name, key or whatever tells it from the others of its field.
	Name string
	// Container is the one that it was to go into; empty where that is the pod.
	Container string
	// Added tells whether it is in the resulting pod because of this sidecar.
	Added bool
	// Why tells why it was left; empty if it was added.
	Why string
}

// Explain decides as Pod does, and gives every element that was considered on the way, in the
// order in which that was done. There are none where the decision fell before any was looked at.
// Of a conflict they tell what would have become of each.
func Explain(snapshot *store.Snapshot, policy *Policy, request *Request) (Decision, []Considered) {
	var all []Considered
	decision := pod(snapshot, policy, request, func(c Considered) { all = append(all, c) })
	return decision, all
}

// left notes an element; it was added if there is no reason why not.
func (p *plan) left(s *conf.Sidecar, field, name, container, why string) {
	p.note(Considered{Sidecar: s, Field: field, Name: name, Container: container, Added: why == "", Why: why})
}

// notePod notes an element of the pod as a whole, which the pod or an earlier sidecar may have.
func (p *plan) notePod(s *conf.Sidecar, field, name string, received bool, earlier *conf.Sidecar) {
	p.left(s, field, name, "", whyNot(received, "the pod", earlier))
}

// notePresent is notePod for what does not matter whose it is.
func (p *plan) notePresent(s *conf.Sidecar, field, name string, present bool) {
	p.left(s, field, name, "", whyNot(present, "the pod", nil))
}

// whyNot tells why nothing is added, if so.
func whyNot(received bool, who string, earlier *conf.Sidecar) string {
	switch {
	case received:
		return who + " has it already"
	case earlier != nil:
		return "sidecar " + earlier.Ref.String() + " brought it already"
	}
	return ""
}

func (p *plan) noteContainer(s *conf.Sidecar, next, other *container) {
	why := ""
	if other != nil {
		why = whyNot(other.received != nil, "the pod", other.by)
	}
	p.left(s, next.field(), next.injected.Name, "", why)
}

func (p *plan) noteVolume(s *conf.Sidecar, v *conf.Element, earlier *volume) {
	var by *conf.Sidecar
	if earlier != nil {
		by = earlier.by
	}
	p.notePod(s, "volumes", v.Name, p.received(v.Name), by)
}

func (p *plan) noteMounts(s *conf.Sidecar, c *container) {
	for i := range s.VolumeMounts {
		m := &s.VolumeMounts[i]
		p.noteIn(s, "volumeMounts", m.Name, c, c.usesLike(m), c.hasMount(m))
	}
}

func (p *plan) noteEnv(s *conf.Sidecar, c *container) {
	for i := range s.Env {
		e := &s.Env[i]
		p.noteIn(s, "env", e.Name, c, c.ownEnv(e.Name), c.hasEnv(e))
	}
}

func (p *plan) noteEnvFrom(s *conf.Sidecar, c *container) {
	for i := range s.EnvFrom {
		e := &s.EnvFrom[i]
		p.noteIn(s, "envFrom", e.String(), c, c.ownSource(e.EnvSource), c.hasSource(e))
	}
}

// noteIn notes what goes into a container unless that has it by itself, or at all.
func (p *plan) noteIn(s *conf.Sidecar, field, name string, c *container, own, has bool) {
	why := ""
	switch {
	case !c.takesFrom(s):
		why = "appliesTo does not name the container"
	case own:
		why = "the container has it already"
	case has:
		why = "an earlier sidecar brought it: " + p.earlier(s, field, name)
	}
	p.left(s, field, name, c.name(), why)
}

// earlier is the sidecar before this one that has an element of that name.
func (p *plan) earlier(than *conf.Sidecar, field, name string) string {
	for _, s := range p.sidecars[:slices.Index(p.sidecars, than)] {
		if slices.Contains(elementNames(s, field), name) {
			return s.Ref.String()
		}
	}
	return "at the same path"
}

func elementNames(s *conf.Sidecar, field string) []string {
	var names []string
	switch field {
	case "env":
		for i := range s.Env {
			names = append(names, s.Env[i].Name)
		}
	case "envFrom":
		for i := range s.EnvFrom {
			names = append(names, s.EnvFrom[i].String())
		}
	default:
		for i := range s.VolumeMounts {
			names = append(names, s.VolumeMounts[i].Name)
		}
	}
	return names
}
