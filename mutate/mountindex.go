package mutate

import (
	"slices"

	"k8s-sidecar-injector/conf"
)

// mountIndex finds mount points of a container that has many.
type mountIndex struct {
	points         []mountPoint
	added          int // how many of the points sidecars add
	volumes, paths index[string]
}

// mountIndex returns the index of the mount points of a container, or nil if they should be scanned.
func (p *plan) mountIndex(c *container) *mountIndex {
	length := len(c.devices) + len(c.mounts)
	if c.received != nil {
		length += len(c.received.VolumeMounts)
	}
	if length <= maxScanned {
		return nil
	}
	x, found := p.indexes[c].(*mountIndex)
	if !found {
		x = &mountIndex{points: slices.Collect(c.mountPoints), added: len(c.mounts)}
		p.keepIndex(c, x)
	}
	for _, m := range c.mounts[x.added:] {
		x.points = append(x.points, mountPoint{volume: m.element.Name, path: m.element.Path, by: m.by})
	}
	x.added = len(c.mounts)
	return x
}

// find returns the first mount point with the volume or the path of m.
func (x *mountIndex) find(m *conf.Mount) (mountPoint, bool) {
	first := x.volumes.find(m.Name, len(x.points), func(i int) string { return x.points[i].volume })
	byPath := x.paths.find(cleanPath(m.Path), len(x.points), func(i int) string { return cleanPath(x.points[i].path) })
	if first < 0 || byPath >= 0 && byPath < first {
		first = byPath
	}
	if first < 0 {
		return mountPoint{}, false
	}
	return x.points[first], true
}
