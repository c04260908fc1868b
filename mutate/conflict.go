package mutate

import (
	"fmt"
	"slices"
	"strings"

	"k8s-sidecar-injector/conf"
)

// mostConflicts is how many a message tells of: a user mends one after the other anyway, and
// a hostile pod may have a million.
const mostConflicts = 8

// conflict notes one reason why the resulting pod would not be valid.
func (p *plan) conflict(format string, values ...any) {
	if len(p.conflicts) == mostConflicts {
		p.moreConflicts++
		return
	}
	p.conflicts = append(p.conflicts, fmt.Sprintf(format, values...))
}

// conflictText gives the conflicts as one sentence.
func (p *plan) conflictText() string {
	text := strings.Join(p.conflicts, "; ")
	if p.moreConflicts > 0 {
		text += fmt.Sprintf("; and %d more", p.moreConflicts)
	}
	return text
}

// findConflicts looks for what would make the API server refuse the resulting pod, as far as
// the sidecar causes it. A fault that the pod came with is the API server's to name.
// Containers of a name that is taken were found when they were added.
func (p *plan) findConflicts(sidecar *conf.Sidecar) {
	p.findMissingVolumes(sidecar)
	p.findPortConflicts(sidecar)
	p.findNodeConflicts()
	p.findUnmetDemands(sidecar)
}

// findMissingVolumes finds mounts that we add of volumes that nobody has. Each volume is
// named once, however many containers mount it.
func (p *plan) findMissingVolumes(sidecar *conf.Sidecar) {
	var named []string
	check := func(volume string) {
		if !p.hasVolume(volume) && !slices.Contains(named, volume) {
			named = append(named, volume)
			p.conflict("it mounts volume %q, which neither the pod nor the sidecar has: add it to one of them", volume)
		}
	}
	for _, c := range p.ours() {
		for i := range c.injected.VolumeMounts {
			check(c.injected.VolumeMounts[i].Name)
		}
		for i := range c.injected.Devices {
			check(c.injected.Devices[i].Name)
		}
	}
	for i := range sidecar.VolumeMounts {
		if volume := sidecar.VolumeMounts[i].Name; !p.hasVolume(volume) && p.added(volume) {
			check(volume)
		}
	}
}

// added tells whether any container gets a mount of the volume.
func (p *plan) added(volume string) bool {
	return slices.ContainsFunc(p.containers, func(c container) bool {
		return slices.ContainsFunc(c.mounts, func(m conf.Mount) bool { return m.Name == volume })
	})
}

// findNodeConflicts finds what the pod has that cannot be had together with what the
// sidecar wants of the node.
func (p *plan) findNodeConflicts() {
	if p.spec.HostUsers != nil && !*p.spec.HostUsers {
		p.rulesOut("hostUsers: false", p.hostNetwork, "hostNetwork")
		p.rulesOut("hostUsers: false", p.hostPID, "hostPID")
		p.rulesOut("hostUsers: false", p.injectsDevice(), "volumeDevices")
	}
	p.rulesOut("shareProcessNamespace: true", p.hostPID && p.spec.ShareProcessNamespace, "hostPID")
	p.rulesOut("os.name: windows", p.hostPID && p.spec.OS.Name == "windows", "hostPID")
	p.rulesOut("hostnameOverride", p.hostNetwork && p.spec.HostnameOverride != nil, "hostNetwork")
	p.rulesOut("a sysctl of the network", p.hostNetwork && slices.ContainsFunc(p.spec.SecurityContext.Sysctls, networked), "hostNetwork")
}

// networked tells a sysctl of the network namespace. Slashes may stand for the dots.
func networked(sysctl Named) bool {
	return strings.HasPrefix(sysctl.Name, "net.") || strings.HasPrefix(sysctl.Name, "net/")
}

// rulesOut notes what the pod has that cannot be had with what the sidecar wants.
func (p *plan) rulesOut(has string, both bool, wanted string) {
	if both {
		p.conflict("the pod has %s, which rules out the sidecar's %s", has, wanted)
	}
}

func (p *plan) injectsDevice() bool {
	return slices.ContainsFunc(p.ours(), func(c container) bool { return len(c.injected.Devices) > 0 })
}
