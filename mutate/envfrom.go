package mutate

import (
	"slices"

	"k8s-sidecar-injector/conf"
)

// addEnvFrom adds sources of variables to the containers. If several sources have the same
// variable, the last source takes precedence. So sources of sidecars come before those of the
// container, and those of later sidecars before those of earlier ones.
func (p *plan) addEnvFrom(s *conf.Sidecar) {
	if len(s.EnvFrom) == 0 {
		return
	}
	for _, c := range p.containers {
		var sources []addition[*conf.EnvFrom]
		add(p, s, c, "envFrom", &sources, s.EnvFrom, c.checkEnvFrom)
		c.envFrom = append(sources, c.envFrom...)
	}
}

func (c *container) checkEnvFrom(e *conf.EnvFrom) omission {
	source := Source{Prefix: e.Prefix, ConfigMap: Named{Name: e.ConfigMap}, Secret: Named{Name: e.Secret}}
	if c.received != nil && slices.Contains(c.received.EnvFrom, source) {
		return omission{text: containerHasIt}
	}
	return alreadyAdded(c.envFrom, func(other *conf.EnvFrom) bool { return other.EnvSource == e.EnvSource })
}
