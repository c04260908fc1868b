package mutate

import "k8s-sidecar-injector/conf"

// addVolumes adds the volumes whose name the pod does not have. Two sidecars may add a volume of
// the same name only if the volumes are equal.
func (p *plan) addVolumes(s *conf.Sidecar) {
	add(p, s, nil, "volumes", &p.volumes, s.Volumes, func(v *conf.Element) omission {
		if p.receivedVolume(v.Name) {
			return omission{text: podHasIt}
		}
		other := p.addedVolume(v.Name)
		if other == nil {
			return omission{}
		}
		if field := differingField(other.element.JSON, v.JSON); field != "" {
			p.conflict("sidecars %s and %s have different volumes %q: they differ in %s; rename one of them",
				other.by.Ref, s.Ref, v.Name, field)
			return omission{text: sidecarAddsOther, by: other.by}
		}
		return addedBy(other.by)
	})
}

// receivedVolume reports whether the pod as received has the volume.
func (p *plan) receivedVolume(name string) bool {
	return contains(p, &p.spec.Volumes, Named{Name: name})
}

// addedVolume returns the volume of that name that a sidecar adds, or nil.
func (p *plan) addedVolume(name string) *addition[*conf.Element] {
	return findAdded(p, &p.volumes, name, elementKey)
}

// hasVolume reports whether the resulting pod has the volume. Removed volumes count as well:
// nothing mounts them.
func (p *plan) hasVolume(name string) bool {
	return p.receivedVolume(name) || p.addedVolume(name) != nil
}
