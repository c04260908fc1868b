package mutate

import (
	"slices"
	"strings"

	"k8s-sidecar-injector/conf"
)

// addMounts gives every container that the sidecar applies to its mounts, except those whose
// volume or path the container has already.
func (p *plan) addMounts(s *conf.Sidecar) {
	if len(s.VolumeMounts) == 0 {
		return
	}
	for i := range p.containers {
		c := &p.containers[i]
		if p.notes != nil {
			p.notes.mounts(s, c)
		}
		if c.takesFrom(s) {
			c.mounts = join(c.mounts, without(s.VolumeMounts, c.hasMount))
		}
	}
}

// hasMount tells whether the volume or the path of a mount is in use, by the container itself
// or by an earlier sidecar.
func (c *container) hasMount(m *conf.Mount) bool {
	return c.usesLike(m) || slices.ContainsFunc(c.mounts, func(added conf.Mount) bool {
		return added.Name == m.Name || samePath(added.Path, m.Path)
	})
}

func (c *container) usesLike(m *conf.Mount) bool {
	return c.uses(func(volume, path string) bool { return volume == m.Name || samePath(path, m.Path) })
}

// uses looks through the volumes and paths that the container has by itself, be it as mounts
// or as block devices: the API server refuses a container that has a path twice, or a volume
// as both.
func (c *container) uses(match func(volume, path string) bool) bool {
	if c.injected != nil {
		return slices.ContainsFunc(c.injected.VolumeMounts, func(m conf.Mount) bool { return match(m.Name, m.Path) }) ||
			slices.ContainsFunc(c.injected.Devices, func(d conf.Device) bool { return match(d.Name, d.Path) })
	}
	for i := range c.received.VolumeMounts {
		if m := &c.received.VolumeMounts[i]; !c.drops(m) && match(m.Name, m.MountPath) {
			return true
		}
	}
	return slices.ContainsFunc(c.received.VolumeDevices, func(d conf.Device) bool { return match(d.Name, d.Path) })
}

// samePath compares mount paths as a container runtime does: /data/ is /data.
func samePath(a, b string) bool {
	return a == b || strings.TrimRight(a, "/") == strings.TrimRight(b, "/")
}
