package mutate

import (
	"fmt"
	"slices"
	"strings"

	"k8s-sidecar-injector/conf"
)

// mostConflicts is how many a message tells of: a user mends one after the other anyway, and
// a hostile pod may have a million.
const mostConflicts = 8

// conflict notes one reason why the resulting pod would not be valid.
func (p *plan) conflict(format string, values ...any) {
	if len(p.conflicts) == mostConflicts {
		p.moreConflicts++
		return
	}
	p.conflicts = append(p.conflicts, fmt.Sprintf(format, values...))
}

// conflictText gives the conflicts as one sentence.
func (p *plan) conflictText() string {
	text := strings.Join(p.conflicts, "; ")
	if p.moreConflicts > 0 {
		text += fmt.Sprintf("; and %d more", p.moreConflicts)
	}
	return text
}

// findConflicts finds the common reasons for which the API server would reject the resulting pod
// and not the pod as received. The API server reports the rare ones. Duplicate names of containers
// were found when the containers were added.
func (p *plan) findConflicts() {
	p.findMissingVolumes()
	p.findPortConflicts()
	p.findHostConflicts()
	p.findTooLarge()
}

// findMissingVolumes finds mounts that we add of volumes that nobody has. Each volume is
// named once, however many containers mount it.
func (p *plan) findMissingVolumes() {
	var named []string
	check := func(s *conf.Sidecar, volume string) {
		if !p.hasVolume(volume) && !slices.Contains(named, volume) {
			named = append(named, volume)
			p.conflict("%s mounts volume %q, which %s", p.who(s), volume, p.neither())
		}
	}
	for _, c := range p.ours() {
		for i := range c.injected.VolumeMounts {
			check(c.by, c.injected.VolumeMounts[i].Name)
		}
		for i := range c.injected.Devices {
			check(c.by, c.injected.Devices[i].Name)
		}
	}
	for _, s := range p.sidecars {
		for i := range s.VolumeMounts {
			if volume := s.VolumeMounts[i].Name; !p.hasVolume(volume) && p.added(volume) {
				check(s, volume)
			}
		}
	}
}

// added tells whether any container gets a mount of the volume.
func (p *plan) added(volume string) bool {
	return slices.ContainsFunc(p.containers, func(c container) bool {
		return slices.ContainsFunc(c.mounts, func(m conf.Mount) bool { return m.Name == volume })
	})
}

// findTooLarge finds annotations that grow beyond what an API server takes.
func (p *plan) findTooLarge() {
	own := len(p.object.metadata().Annotations.text)
	size := own
	for _, added := range p.annotations {
		size += len(added.Key) + len(added.Value)
	}
	if size > conf.MostAnnotations && own <= conf.MostAnnotations {
		p.conflict("the annotations would have %d bytes, and an API server takes %d", size, conf.MostAnnotations)
	}
}
