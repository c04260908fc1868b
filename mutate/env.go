package mutate

import (
	"slices"

	"k8s-sidecar-injector/conf"
)

// addEnv gives every container that the sidecar applies to its variables. One that a container
// has already stays as it is.
func (p *plan) addEnv(s *conf.Sidecar) {
	if len(s.Env) == 0 {
		return
	}
	for i := range p.containers {
		c := &p.containers[i]
		if p.notes != nil {
			p.notes.env(s, c)
		}
		if c.takesFrom(s) {
			c.env = join(c.env, without(s.Env, c.hasEnv))
		}
	}
}

// hasEnv tells whether the container has the variable, by itself or from an earlier sidecar.
func (c *container) hasEnv(e *conf.Element) bool {
	return c.ownEnv(e.Name) || slices.ContainsFunc(c.env, func(added conf.Element) bool { return added.Name == e.Name })
}

func (c *container) ownEnv(name string) bool {
	if c.received != nil {
		return slices.Contains(c.received.Env, Named{Name: name})
	}
	return slices.ContainsFunc(c.injected.Env, func(own conf.Element) bool { return own.Name == name })
}
