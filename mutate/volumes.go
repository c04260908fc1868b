package mutate

import "k8s-sidecar-injector/conf"

// addVolumes adds the volumes whose name the pod does not have. Two sidecars may add a volume of
// the same name only if the volumes are equal.
func (p *plan) addVolumes(s *conf.Sidecar) {
	check := func(_ *container, next *addition) omission {
		other, _ := p.volumes.find(next.name)
		if other.by != nil {
			if field := differingField(other.json.JSON, next.json.JSON); field != "" {
				p.conflict("sidecars %s and %s have different volumes %q: they differ in %s; rename one of them",
					other.by.Ref, s.Ref, next.name, field)
				return omission{text: sidecarAddsOther, by: other.by}
			}
		}
		return p.volumes.checkName(next, podHasIt)
	}
	p.add(s, nil, "volumes", &p.volumes, additions(p, s, s.Volumes, fromElement), check)
}
