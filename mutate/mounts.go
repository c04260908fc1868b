package mutate

import (
	"strings"

	"k8s-sidecar-injector/conf"
)

// addMounts adds volume mounts to the containers. A container that already uses the volume or
// the path keeps what it has.
func (p *plan) addMounts(s *conf.Sidecar) {
	list := func(c *container) *[]addition[*conf.Mount] { return &c.mounts }
	addToContainers(p, s, "volumeMounts", list, s.VolumeMounts, (*plan).checkMount)
}

// checkMount looks for the volume and the path of a mount in the container. The API server
// rejects a container that has a path twice, or a volume both as a mount and as a block device.
func (p *plan) checkMount(c *container, m *conf.Mount) omission {
	used, found := p.findMountPoint(c, m)
	switch sameVolume := used.volume == m.Name; {
	case !found:
		return omission{}
	case sameVolume && used.by == nil:
		return omission{text: volumeIsMounted}
	case sameVolume:
		return omission{text: sidecarAddsIt, by: used.by}
	case used.by == nil:
		return omission{text: pathIsMounted}
	}
	return omission{text: sidecarMountsPath, by: used.by}
}

// findMountPoint returns the first mount point of the container with the volume or the path of m.
func (p *plan) findMountPoint(c *container, m *conf.Mount) (mountPoint, bool) {
	if x := p.mountIndex(c); x != nil {
		return x.find(m)
	}
	path := cleanPath(m.Path)
	for used := range c.mountPoints {
		if used.volume == m.Name || cleanPath(used.path) == path {
			return used, true
		}
	}
	return mountPoint{}, false
}

// mountPoint is a path in a container at which a volume is mounted or is a block device.
type mountPoint struct {
	volume, path string
	by           *conf.Sidecar // adds it; nil if the container has it by itself
}

// mountPoints iterates over the mounts and block devices that the container will have.
func (c *container) mountPoints(yield func(mountPoint) bool) {
	if c.received != nil {
		for i := range c.received.VolumeMounts {
			m := &c.received.VolumeMounts[i]
			if !c.removes(m) && !yield(mountPoint{volume: m.Name, path: m.MountPath}) {
				return
			}
		}
	}
	for _, d := range c.devices {
		if !yield(mountPoint{volume: d.Name, path: d.Path}) {
			return
		}
	}
	for _, m := range c.mounts {
		if !yield(mountPoint{volume: m.element.Name, path: m.element.Path, by: m.by}) {
			return
		}
	}
}

// cleanPath returns a mount path as container runtimes compare them: /data/ is /data.
func cleanPath(path string) string {
	return strings.TrimRight(path, "/")
}
