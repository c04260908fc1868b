package mutate

import (
	"slices"

	"k8s-sidecar-injector/conf"
)

// The lists of a container that sidecars add to, in the order of the patch.
const (
	envList = iota
	envFromList
	mountsList // by the names of their volumes
	containerListCount
)

// containerList is a list of every container that sidecars add to.
type containerList struct {
	front string // field of the definition whose elements are put before those of the container
	field string // in the container, and in the definition
	check check
}

// prependEnv is the field with variables that are put before those of the container.
const prependEnv = "prependEnv"

func containerLists() [containerListCount]containerList {
	return [containerListCount]containerList{
		envList:     {prependEnv, "env", checkName},
		envFromList: {"", "envFrom", checkSource},
		mountsList:  {"", "volumeMounts", checkMount},
	}
}

// lists returns the lists of the container as received. readMounts reads the mounts.
func (c *Container) lists() [containerListCount]list {
	return [containerListCount]list{
		envList:     {received: c.Env},
		envFromList: {received: namesOf(c.EnvFrom, Source.name)},
	}
}

// own returns the lists of a container to inject.
func (p *plan) own(c *conf.Container) (own [containerListCount]list) {
	for i, l := range containerLists() {
		elements := c.Elements.Of(l.field)
		own[i].added = p.room(len(elements))
		for j := range elements {
			own[i].added = append(own[i].added, addition{Element: &elements[j]})
		}
	}
	return own
}

// mergeContainers applies the rules of variables and volumeMounts.
func (p *plan) mergeContainers() {
	p.addToContainers()
	p.extendVariables()
	for _, c := range p.containers {
		c.sortEnv()
		c.sortEnvFrom()
	}
}

// addToContainers adds elements to the containers that appliesTo covers. A container keeps what it has.
func (p *plan) addToContainers() {
	for i, l := range containerLists() {
		for _, s := range p.sidecars {
			p.addToCovered(s, i, l.front, l.check)
			p.addToCovered(s, i, l.field, l.check)
		}
	}
}

// addToCovered adds the elements of a field of one sidecar to the lists with an index.
func (p *plan) addToCovered(s *conf.Sidecar, index int, field string, check check) {
	if len(s.Elements(field)) == 0 || p.size > maxAdded && !p.explain {
		return
	}
	covered := p.coverage(s)
	for _, c := range p.containers {
		if c.appliesTo(s, &covered) {
			p.add(s, c, &c.lists[index], field, check)
		} else if p.explain {
			p.add(s, c, &c.lists[index], field, checkNotCovered)
		}
	}
}

// checkSource looks for the source of variables, which a sidecar may have twice.
func checkSource(_ *plan, s *conf.Sidecar, _ *container, l *list, next *conf.Element) omission {
	if why := l.checkName(next, containerHasIt); why.by != s {
		return why
	}
	return omission{}
}

// sortEnv puts the variables of prependEnv before the others. The order of each kind stays.
func (c *container) sortEnv() {
	env := &c.lists[envList]
	if !slices.ContainsFunc(env.added, func(variable addition) bool { return variable.front }) {
		return
	}
	var first, others []addition
	for _, variable := range env.added {
		if variable.front {
			first = append(first, variable)
		} else {
			others = append(others, variable)
		}
	}
	env.added, env.fronts = append(first, others...), len(first)
}

// sortEnvFrom puts the sources of later sidecars before those of earlier ones, which come before those
// of the container. If several sources have the same variable, the last source takes precedence.
func (c *container) sortEnvFrom() {
	added := c.lists[envFromList].added
	c.lists[envFromList].fronts = len(added)
	slices.Reverse(added)
	for len(added) > 0 {
		count := 1
		for count < len(added) && added[count].by == added[0].by {
			count++
		}
		slices.Reverse(added[:count]) // the order within a sidecar stays
		added = added[count:]
	}
}
