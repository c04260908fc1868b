package mutate

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"k8s-sidecar-injector/conf"
)

// maxConflicts is how many conflicts a message lists. A hostile pod may have a million.
const maxConflicts = 8

// conflict adds a reason for which the resulting pod would be invalid.
func (p *plan) conflict(format string, values ...any) {
	p.conflictCount++
	if len(p.conflicts) < maxConflicts {
		p.conflicts = append(p.conflicts, fmt.Sprintf(format, values...))
	}
}

// conflictError returns an error that lists the first conflicts, or nil if there are none. Like all
// causes, it does not refer to the pod, because servers keep a cause for longer.
func (p *plan) conflictError() error {
	if p.conflictCount == 0 {
		return nil
	}
	refs := make([]string, len(p.sidecars))
	for i, s := range p.sidecars {
		refs[i] = s.Ref.String()
	}
	noun, verb := "sidecar", "does"
	if len(refs) > 1 {
		noun, verb = "sidecars", "do"
	}
	text := fmt.Sprintf("%s %s %s not fit this pod: %s",
		noun, strings.Join(refs, ", "), verb, strings.Join(p.conflicts, "; "))
	if omitted := p.conflictCount - len(p.conflicts); omitted > 0 {
		text += fmt.Sprintf("; and %d more", omitted)
	}
	return errors.New(text)
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
	p.findTooLarge()
}

// findMissingVolumes looks for added mounts and devices whose volume does not exist. It reports
// each volume once.
func (p *plan) findMissingVolumes() {
	reported := make(map[string]bool)
	check := func(volume string, by *conf.Sidecar) {
		if _, found := p.volumes.find(volume); !found && !reported[volume] {
			reported[volume] = true
			p.conflict("sidecar %s mounts volume %q, which neither the pod nor a sidecar has: add it to one of them",
				by.Ref, volume)
		}
	}
	for _, c := range p.containers {
		for _, d := range c.devices {
			if c.injected != nil {
				check(d.Name, c.by)
			}
		}
		for i := range c.mounts.added {
			check(c.mounts.added[i].name, cmp.Or(c.mounts.added[i].by, c.by))
		}
	}
}

// findTooLarge looks for annotations that grow beyond the limit of the API server.
func (p *plan) findTooLarge() {
	received := 0
	for key, value := range p.object.metadata().Annotations {
		received += len(key) + len(value)
	}
	size := received
	for _, added := range p.annotations.added {
		size += len(added.name) + len(added.value)
	}
	if size > conf.MostAnnotations && received <= conf.MostAnnotations {
		p.conflict("the annotations would have %d bytes, and the limit is %d", size, conf.MostAnnotations)
	}
}
