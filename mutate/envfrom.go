package mutate

import (
	"slices"

	"k8s-sidecar-injector/conf"
)

// addEnvFrom adds sources of variables to the containers. If several sources have the same
// variable, the last source takes precedence. So sources of sidecars come before those of the
// container, and those of later sidecars before those of earlier ones.
func (p *plan) addEnvFrom(s *conf.Sidecar) {
	list := func(c *container) *[]addition[*conf.EnvFrom] { return &c.envFrom }
	check := func(p *plan, c *container, e *conf.EnvFrom) omission { return p.checkEnvFrom(s, c, e) }
	addToContainers(p, s, "envFrom", list, s.EnvFrom, check)
}

// checkEnvFrom looks for the source in the container. A sidecar may have the same source twice.
func (p *plan) checkEnvFrom(s *conf.Sidecar, c *container, e *conf.EnvFrom) omission {
	source := Source{Prefix: e.Prefix, ConfigMap: Named{Name: e.ConfigMap}, Secret: Named{Name: e.Secret}}
	if c.received != nil && contains(p, &c.received.EnvFrom, source) {
		return omission{text: containerHasIt}
	}
	if other := findAdded(p, &c.envFrom, e.EnvSource, envFromKey); other != nil && other.by != s {
		return addedBy(other.by)
	}
	return omission{}
}

// sortEnvFrom puts the sources of later sidecars before those of earlier ones.
func (c *container) sortEnvFrom() {
	slices.Reverse(c.envFrom)
	for rest := c.envFrom; len(rest) > 0; {
		count := 1
		for count < len(rest) && rest[count].by == rest[0].by {
			count++
		}
		slices.Reverse(rest[:count]) // the order within a sidecar stays
		rest = rest[count:]
	}
}
