package mutate

import (
	"slices"

	"k8s-sidecar-injector/conf"
)

// addEnv adds variables to the containers. A variable that a container already has is unchanged.
func (p *plan) addEnv(s *conf.Sidecar) {
	list := func(c *container) *[]addition[*conf.Element] { return &c.env }
	addToContainers(p, s, "env", list, s.Env, (*container).checkEnv)
}

func (c *container) checkEnv(e *conf.Element) omission {
	if c.received != nil && slices.Contains(c.received.Env, Named{Name: e.Name}) {
		return omission{text: containerHasIt}
	}
	return alreadyAdded(c.env, func(other *conf.Element) bool { return other.Name == e.Name })
}
