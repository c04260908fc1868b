package mutate

import (
	"slices"

	"k8s-sidecar-injector/conf"
)

// addEnvFrom gives every container that the sidecar applies to its sources of variables, except
// those that the container has already. Of a variable that several sources have, Kubernetes
// takes the last. So ours come before the container's own, and a later sidecar's before an
// earlier one's: what was there stays as it is.
func (p *plan) addEnvFrom(s *conf.Sidecar) {
	if len(s.EnvFrom) == 0 {
		return
	}
	for i := range p.containers {
		c := &p.containers[i]
		if p.notes != nil {
			p.notes.envFrom(s, c)
		}
		if c.takesFrom(s) {
			c.sources = append(slices.Clip(without(s.EnvFrom, c.hasSource)), c.sources...)
		}
	}
}

func (c *container) hasSource(e *conf.EnvFrom) bool {
	return c.ownSource(e.EnvSource) || slices.ContainsFunc(c.sources, func(added conf.EnvFrom) bool { return added.EnvSource == e.EnvSource })
}

func (c *container) ownSource(source conf.EnvSource) bool {
	if c.received != nil {
		return slices.Contains(c.received.EnvFrom, Source{
			Prefix: source.Prefix, ConfigMap: Named{Name: source.ConfigMap}, Secret: Named{Name: source.Secret},
		})
	}
	return slices.ContainsFunc(c.injected.EnvFrom, func(own conf.EnvFrom) bool { return own.EnvSource == source })
}
