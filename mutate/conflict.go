package mutate

import (
	"cmp"
	"fmt"
	"strings"

	"k8s-sidecar-injector/conf"
)

// maxConflicts is how many conflicts a message lists. A hostile pod may have a million.
const maxConflicts = 8

// conflicts are the reasons for which sidecars do not fit a pod.
type conflicts struct {
	texts   []string
	omitted int // beyond maxConflicts
}

func (c conflicts) found() bool {
	return len(c.texts) > 0
}

func (c conflicts) String() string {
	text := strings.Join(c.texts, "; ")
	if c.omitted > 0 {
		text += fmt.Sprintf("; and %d more", c.omitted)
	}
	return text
}

// conflict adds a reason for which the resulting pod would be invalid.
func (p *plan) conflict(format string, values ...any) {
	if len(p.conflicts.texts) == maxConflicts {
		p.conflicts.omitted++
		return
	}
	p.conflicts.texts = append(p.conflicts.texts, fmt.Sprintf(format, values...))
}

// findConflicts looks for common faults of the resulting pod that sidecars cause. The rules have
// already found elements of the same name. The API server reports rare faults, and faults of the pod
// as received.
func (p *plan) findConflicts() {
	if p.size > maxAdded {
		p.conflict("more than %d bytes would be added to the pod, and API servers reject such pods", maxAdded)
		return
	}
	p.findMissingVolumes()
	p.findPortConflicts()
	p.findHostConflicts()
	p.findDNSConflicts()
	p.findTooLarge()
}

// findDNSConflicts looks for lists that grow beyond the limits of the API server.
func (p *plan) findDNSConflicts() {
	const maxNameservers, maxSearches = 3, 32
	for _, limit := range []struct{ list, most int }{{nameserversList, maxNameservers}, {searchesList, maxSearches}} {
		l := &p.lists[limit.list]
		if count := len(l.received) + len(l.added); len(l.added) > 0 && count > limit.most {
			p.conflict("%s would have %d elements, and the limit is %d", l.field, count, limit.most)
		}
	}
}

// findMissingVolumes looks for added mounts and devices whose volume does not exist. It reports
// each volume once.
func (p *plan) findMissingVolumes() {
	reported := make(map[string]bool)
	check := func(volume string, by *conf.Sidecar) {
		if _, found := p.lists[volumesList].find(volume); !found && !reported[volume] {
			reported[volume] = true
			p.conflict("sidecar %s mounts volume %q, which neither the pod nor a sidecar has: add it to one of them",
				by.Ref, volume)
		}
	}
	for _, c := range p.containers {
		if c.injected != nil {
			for _, d := range c.injected.Devices {
				check(d.Name, c.by)
			}
		}
		for _, added := range c.lists[mountsList].added {
			check(added.Name, cmp.Or(added.by, c.by))
		}
	}
}

// findTooLarge looks for annotations that grow beyond the limit of the API server.
func (p *plan) findTooLarge() {
	received := p.object.metadata().Annotations.size()
	size := received
	for _, added := range p.lists[annotationsMap].added {
		size += len(added.Name) + len(added.Value)
		if old, replaced := p.object.metadata().Annotations[added.Name]; replaced {
			size -= len(added.Name) + len(old)
		}
	}
	if size > conf.MostAnnotations && received <= conf.MostAnnotations {
		p.conflict("the annotations would have %d bytes, and the limit is %d", size, conf.MostAnnotations)
	}
}
