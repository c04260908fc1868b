package mutate

import (
	"slices"

	"k8s-sidecar-injector/conf"
)

// addVolumes adds the sidecar's volumes, unless the pod has one of the name: it keeps its own.
// One that an earlier sidecar has added must be the same.
func (p *plan) addVolumes(s *conf.Sidecar) {
	for i := range s.Volumes {
		v := &s.Volumes[i]
		earlier := p.addedVolume(v.Name)
		switch {
		case p.received(v.Name):
		case earlier == nil:
			p.volumes = append(p.volumes, volume{Element: *v, by: s})
		default:
			p.findOtherVolume(earlier, s, v)
		}
		if p.notes != nil {
			p.notes.volume(s, v, p.received(v.Name), earlier)
		}
	}
}

func (p *plan) findOtherVolume(earlier *volume, s *conf.Sidecar, v *conf.Element) {
	if at, differ := difference(earlier.JSON, v.JSON); differ {
		p.conflict("sidecars %s and %s both have a volume %q, which differ in %s: rename one of them", earlier.by.Ref, s.Ref, v.Name, at)
	}
}

func (p *plan) received(volume string) bool {
	return slices.ContainsFunc(p.spec.Volumes, func(v Named) bool { return v.Name == volume })
}

// addedVolume is the one of the name that a sidecar adds, or nil.
func (p *plan) addedVolume(name string) *volume {
	for i := range p.volumes {
		if p.volumes[i].Name == name {
			return &p.volumes[i]
		}
	}
	return nil
}

// hasVolume reports whether the pod has the volume or gets it.
func (p *plan) hasVolume(name string) bool {
	return p.received(name) || p.addedVolume(name) != nil
}
