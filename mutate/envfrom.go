package mutate

import (
	"slices"

	"k8s-sidecar-injector/conf"
)

// addEnv adds variables to the containers. A variable that a container already has is unchanged.
func (p *plan) addEnv(s *conf.Sidecar) {
	list := func(c *container) *list { return &c.env }
	p.addToContainers(s, "env", list, additions(p, s, s.Env, fromElement), nil)
}

// addEnvFrom adds sources of variables to the containers. If several sources have the same
// variable, the last source takes precedence. So sources of sidecars come before those of the
// container, and those of later sidecars before those of earlier ones. A sidecar may have the same
// source twice.
func (p *plan) addEnvFrom(s *conf.Sidecar) {
	list := func(c *container) *list { return &c.envFrom }
	p.addToContainers(s, "envFrom", list, additions(p, s, s.EnvFrom, fromEnvFrom),
		func(c *container, next *addition) omission {
			if why := c.envFrom.checkName(next, containerHasIt); why.by != s {
				return why
			}
			return omission{}
		})
}

// sortEnvFrom puts the sources of later sidecars before those of earlier ones.
func (c *container) sortEnvFrom() {
	slices.Reverse(c.envFrom.added)
	for rest := c.envFrom.added; len(rest) > 0; {
		count := 1
		for count < len(rest) && rest[count].by == rest[0].by {
			count++
		}
		slices.Reverse(rest[:count]) // the order within a sidecar stays
		rest = rest[count:]
	}
}
