package mutate

import (
	"slices"

	"k8s-sidecar-injector/conf"
)

// sidecarSet is a set of requested sidecars: a bit for each index in plan.sidecars.
type sidecarSet [(maxSidecars + 63) / 64]uint64

func (s *sidecarSet) add(index int) {
	s[index/64] |= 1 << (index % 64)
}

func (s *sidecarSet) has(index int) bool {
	return s[index/64]&(1<<(index%64)) != 0
}

func (s *sidecarSet) overlaps(other *sidecarSet) bool {
	for i := range s {
		if s[i]&other[i] != 0 {
			return true
		}
	}
	return false
}

// coverage returns the sidecars whose containers get the variables and volumeMounts of a sidecar.
func (p *plan) coverage(s *conf.Sidecar) (covered sidecarSet) {
	for i, other := range p.sidecars {
		if s.CoversContainersOf(other.Ref) {
			covered.add(i)
		}
	}
	return covered
}

// addOwner records that a sidecar has the container.
func (p *plan) addOwner(c *container, s *conf.Sidecar) {
	c.owners.add(slices.Index(p.sidecars, s))
}

// appliesTo reports whether the sidecar's variables and volumeMounts apply to the container. They apply to
// a container that several sidecars have if they apply to the containers of one of them.
func (c *container) appliesTo(s *conf.Sidecar, covered *sidecarSet) bool {
	if c.injected == nil {
		return s.Content().AppliesTo.Covers(c.list == initContainersList, c.name)
	}
	return c.owners.overlaps(covered)
}

// checkNotCovered leaves out the elements of a sidecar that does not apply to the container.
func checkNotCovered(*plan, *conf.Sidecar, *container, *list, *conf.Element) omission {
	return omission{text: notCovered}
}
