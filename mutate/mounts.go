package mutate

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"k8s-sidecar-injector/conf"
)

// checkMount looks for the volume and for the path. The API server rejects a container that has a path
// twice, or a volume both as a mount and as a block device.
func checkMount(p *plan, s *conf.Sidecar, c *container, l *list, next *conf.Element) omission {
	if why := l.checkName(next, volumeIsMounted); why.text != "" {
		return why
	}
	return checkPath(p, s, c, l, next)
}

// checkPath looks for the path.
func checkPath(p *plan, s *conf.Sidecar, c *container, l *list, next *conf.Element) omission {
	i := find(&c.pathIndex, cleanPath(next.Value), len(c.paths)+len(l.added), c.pathAt)
	if i < 0 {
		return omission{}
	}
	p.mismatch(s, "volumeMounts", next, c)
	if i >= len(c.paths) && l.added[i-len(c.paths)].by != nil {
		return omission{text: sidecarMountsPath, by: l.added[i-len(c.paths)].by}
	}
	return omission{text: pathIsMounted}
}

// pathAt returns the path of a received or added mount.
func (c *container) pathAt(i int) string {
	if i < len(c.paths) {
		return c.paths[i].Name
	}
	return cleanPath(c.lists[mountsList].added[i-len(c.paths)].Value)
}

// readMounts reads the mounts that stay, and the block devices, of each container.
func (p *plan) readMounts() {
	count := 0
	for _, c := range p.containers {
		count += len(c.receivedMounts()) + len(c.devices())
	}
	memory := make([]Named, 2*count)
	for _, c := range p.containers {
		count = len(c.receivedMounts()) + len(c.devices())
		volumes, paths := memory[:0:count], memory[count:count]
		memory = memory[2*count:]
		for _, m := range c.receivedMounts() {
			if !p.removes(&m) {
				volumes, paths = append(volumes, Named{m.Name}), append(paths, Named{cleanPath(m.MountPath)})
			}
		}
		for _, d := range c.devices() {
			volumes, paths = append(volumes, Named{d.Name}), append(paths, Named{cleanPath(d.DevicePath)})
		}
		c.lists[mountsList].received, c.paths = volumes, paths
	}
}

// devices returns the block devices of the container.
func (c *container) devices() []corev1.VolumeDevice {
	if c.received == nil {
		return c.injected.Devices
	}
	return c.received.VolumeDevices
}

// receivedMounts returns the mounts of the container as received.
func (c *container) receivedMounts() Mounts {
	if c.received == nil {
		return nil
	}
	return c.received.VolumeMounts
}

// cleanPath returns a mount path as container runtimes compare them: /data/ is /data.
func cleanPath(path string) string {
	return strings.TrimRight(path, "/")
}
