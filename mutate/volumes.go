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

// hasVolume tells whether the resulting pod has the volume. A volume that is taken away is
// one that nothing mounts, so it need not be left out here.
func (p *plan) hasVolume(name string) bool {
	return p.received(name) || slices.ContainsFunc(p.volumes, func(v conf.Element) bool { return v.Name == name })
}
