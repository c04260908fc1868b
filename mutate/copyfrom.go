package mutate

import (
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"k8s-sidecar-injector/conf"
)

// copiedEnv is the field with the names of variables that are copied.
const copiedEnv = "copyFrom.env"

// copies are the variables or mounts that an entry of copyFrom names.
type copies struct {
	list     int    // in container.lists
	field    string // in results
	check    check
	elements []*conf.Element // those that cannot be copied have no JSON
	missing  omission        // of elements without JSON
}

// copyFromPod copies variables and mounts of the pod as received into the containers of sidecars.
func (p *plan) copyFromPod() {
	for i, s := range p.sidecars {
		entries := s.Content().CopyFrom
		if len(entries) == 0 {
			continue
		}
		var own []*container
		for _, c := range p.containers[p.received:] {
			if c.owners.has(i) {
				own = append(own, c)
			}
		}
		for j := range entries {
			p.copyEntry(s, &entries[j], own)
		}
	}
}

// copyEntry copies what one entry of copyFrom names into the containers of its sidecar.
func (p *plan) copyEntry(s *conf.Sidecar, entry *conf.CopyFrom, own []*container) {
	source, missing := p.details.container(entry.From), omission{text: sourceLacksIt}
	if source == nil {
		source, missing.text = new(containerDetails), podLacksSource
		p.warnOfSource(s, entry)
	}
	source.readLists()
	env := copies{envList, copiedEnv, checkName, p.findAll(&source.variables, entry.Env), missing}
	mounts := copies{
		mountsList, "copyFrom.volumeMounts", checkCopiedMount, p.findAll(&source.mounts, entry.VolumeMounts), missing,
	}
	for _, c := range own {
		if p.size > maxAdded && !p.explain {
			return
		}
		if entry.Container == "" || entry.Container == c.name {
			p.copyInto(c, s, &env)
			p.copyInto(c, s, &mounts)
		}
	}
}

// findAll returns the elements with the names in the order of the list, because variables refer to earlier ones. If the
// review is explained, missing ones follow.
func (p *plan) findAll(list *receivedList, names []string) (found []*conf.Element) {
	var positions []int
	var missing []*conf.Element
	for _, name := range names {
		positions = append(positions, list.positions[name]...)
		if p.explain && list.positions[name] == nil {
			missing = append(missing, &conf.Element{Name: name})
		}
	}
	slices.Sort(positions)
	for _, at := range positions {
		found = append(found, &list.elements[at])
	}
	return append(found, missing...)
}

// copyInto copies elements into one container, which keeps what it has.
func (p *plan) copyInto(c *container, s *conf.Sidecar, from *copies) {
	l := &c.lists[from.list]
	for _, next := range from.elements {
		why := from.missing
		if next.JSON != nil {
			p.size++ // bounds the time if none of them is added
			why = from.check(p, s, c, l, next)
		}
		if p.record(s, c, from.field, next.Name, why) && p.fits(next) {
			l.added = append(l.added, addition{Element: next, by: s})
		}
	}
}

// checkCopiedMount is checkMount, except that a container gets all mounts of a volume, and no mount that is removed.
func checkCopiedMount(p *plan, s *conf.Sidecar, c *container, l *list, next *conf.Element) omission {
	if p.removes(&Mount{MountPath: next.Value}) {
		return omission{text: tokenIsReplaced}
	}
	if why := l.checkName(next, volumeIsMounted); why.text != "" && why.by != s {
		return why
	}
	return checkPath(p, s, c, l, next)
}

// warnOfSource warns that the pod lacks the container of an entry of copyFrom.
func (p *plan) warnOfSource(s *conf.Sidecar, entry *conf.CopyFrom) {
	if entry.From != "" && len(p.missingSources) < maxMismatchWarnings {
		p.missingSources = append(p.missingSources, fmt.Sprintf(
			"sidecar %s copies from container %s, which the pod does not have", s.Ref, quoted(entry.From)))
	}
}

// receivedList is a list of a container as received.
type receivedList struct {
	elements  []conf.Element
	positions map[string][]int // of the elements with each name
}

// readLists reads the lists at the first call. They were decoded before, as those of a Container, so they are valid.
func (c *containerDetails) readLists() {
	if c.variables.positions != nil {
		return
	}
	var variables, mounts []conf.Element
	for _, v := range c.Env {
		variables = append(variables, conf.Element{Name: v.Name, JSON: v.json})
	}
	var values []jsontext.Value
	_ = json.Unmarshal(c.VolumeMounts, &values)
	for _, value := range values {
		var m Mount
		_ = json.Unmarshal(value, &m)
		mounts = append(mounts, conf.Element{Name: m.Name, Value: m.MountPath, JSON: value})
	}
	c.variables, c.mounts = newReceivedList(variables), newReceivedList(mounts)
	for name, all := range c.variables.positions {
		c.variables.positions[name] = all[len(all)-1:] // Kubernetes uses the last variable of a name
	}
}

func newReceivedList(elements []conf.Element) receivedList {
	positions := make(map[string][]int, len(elements))
	for i := range elements {
		positions[elements[i].Name] = append(positions[elements[i].Name], i)
	}
	return receivedList{elements, positions}
}
