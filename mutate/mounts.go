package mutate

import (
	"strings"

	"k8s-sidecar-injector/conf"
)

// addMounts adds volume mounts to the containers. A container that already uses the volume or
// the path keeps what it has. The API server rejects a container that has a path twice, or a volume
// both as a mount and as a block device.
func (p *plan) addMounts(s *conf.Sidecar) {
	list := func(c *container) *list { return &c.mounts }
	p.addToContainers(s, "volumeMounts", list, additions(p, s, s.VolumeMounts, fromMount), checkMount)
}

func checkMount(c *container, next *addition) omission {
	if why := c.mounts.checkName(next, volumeIsMounted); why.text != "" {
		return why
	}
	i := find(&c.pathIndex, next.value, len(c.paths)+len(c.mounts.added), c.pathAt)
	switch {
	case i < 0:
		return omission{}
	case i >= len(c.paths) && c.mounts.added[i-len(c.paths)].by != nil:
		return omission{text: sidecarMountsPath, by: c.mounts.added[i-len(c.paths)].by}
	}
	return omission{text: pathIsMounted}
}

// pathAt returns the path of a received or added mount.
func (c *container) pathAt(i int) string {
	if i < len(c.paths) {
		return c.paths[i].Name
	}
	return c.mounts.added[i-len(c.paths)].value
}

// readMounts reads the mounts that stay, and the block devices, of each container.
func (p *plan) readMounts() {
	count := 0
	for _, c := range p.containers {
		count += len(c.receivedMounts) + len(c.devices)
	}
	memory := make([]Named, 2*count)
	for _, c := range p.containers {
		count = len(c.receivedMounts) + len(c.devices)
		volumes, paths := memory[:0:count], memory[count:count]
		memory = memory[2*count:]
		for i := range c.receivedMounts {
			if m := &c.receivedMounts[i]; !c.removes(m) {
				volumes, paths = append(volumes, Named{m.Name}), append(paths, Named{cleanPath(m.MountPath)})
			}
		}
		for _, d := range c.devices {
			volumes, paths = append(volumes, Named{d.Name}), append(paths, Named{cleanPath(d.Path)})
		}
		c.mounts.received, c.paths = volumes, paths
	}
}

// cleanPath returns a mount path as container runtimes compare them: /data/ is /data.
func cleanPath(path string) string {
	return strings.TrimRight(path, "/")
}
