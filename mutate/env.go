package mutate

import "k8s-sidecar-injector/conf"

// addEnv gives every container, received or injected, the sidecar's variables. One that a
// container has already stays as it is.
func (p *plan) addEnv(sidecar *conf.Sidecar) {
	for i := range p.containers {
		c := &p.containers[i]
		c.env = without(sidecar.Env, func(e *conf.Element) bool { return c.hasEnv(e.Name) })
	}
}

func (c *container) hasEnv(name string) bool {
	if c.received != nil {
		for i := range c.received.Env {
			if c.received.Env[i].Name == name {
				return true
			}
		}
		return false
	}
	for i := range c.injected.Env {
		if c.injected.Env[i].Name == name {
			return true
		}
	}
	return false
}
