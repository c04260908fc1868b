package mutate

import (
	"slices"

	"k8s-sidecar-injector/conf"
)

// addVolumes adds the sidecar's volumes, unless the pod has one of the name.
func (p *plan) addVolumes(sidecar *conf.Sidecar) {
	p.volumes = without(sidecar.Volumes, func(v *conf.Element) bool { return p.received(v.Name) })
}

func (p *plan) received(volume string) bool {
	return slices.Contains(p.spec.Volumes, Named{Name: volume})
}

// hasVolume tells whether the pod has the volume or gets it. A received one that is taken away
// counts too: nothing mounts it, so only env from a file can still ask for it, see drops.
func (p *plan) hasVolume(name string) bool {
	return p.received(name) || slices.ContainsFunc(p.volumes, func(v conf.Element) bool { return v.Name == name })
}
