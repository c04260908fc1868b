package mutate

import "k8s-sidecar-injector/conf"

// addEnv adds variables to the containers. A variable that a container already has is unchanged.
func (p *plan) addEnv(s *conf.Sidecar) {
	list := func(c *container) *[]addition[*conf.Element] { return &c.env }
	addToContainers(p, s, "env", list, s.Env, (*plan).checkEnv)
}

func (p *plan) checkEnv(c *container, e *conf.Element) omission {
	if c.received != nil && contains(p, &c.received.Env, Named{Name: e.Name}) {
		return omission{text: containerHasIt}
	}
	return alreadyAdded(p, &c.env, e, elementKey)
}
