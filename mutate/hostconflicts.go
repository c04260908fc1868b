package mutate

import (
	"fmt"
	"slices"
	"strings"

	"k8s-sidecar-injector/conf"
)

// findHostConflicts finds what the pod has that cannot be had together with what a sidecar
// wants of the node or of the whole pod.
func (p *plan) findHostConflicts() {
	const alien = "hostUsers: false"
	if p.spec.HostUsers != nil && !*p.spec.HostUsers {
		p.rulesOut(alien, true, p.hostNetwork, "hostNetwork")
		p.rulesOut(alien, true, p.hostPID, "hostPID")
		p.rulesOut(alien, true, p.hostIPC, "hostIPC")
		p.rulesOut(alien, true, p.device(), "volumeDevices")
	}
	windows := p.spec.OS.Name == "windows"
	p.rulesOut("os.name: windows", windows, p.hostPID, "hostPID")
	p.rulesOut("os.name: windows", windows, p.hostIPC, "hostIPC")
	p.rulesOut("os.name: windows", windows, p.shareProcesses, "shareProcessNamespace")
	p.rulesOut("hostnameOverride", p.spec.HostnameOverride != nil, p.hostNetwork, "hostNetwork")
	p.rulesOut("a sysctl of the network", slices.ContainsFunc(p.spec.SecurityContext.Sysctls, networked), p.hostNetwork, "hostNetwork")
	p.findProcessConflicts()
	p.findUnwantedNetwork()
}

// findProcessConflicts is about the two ways to see the processes of others, of which a pod can
// have one.
func (p *plan) findProcessConflicts() {
	shared := p.spec.ShareProcessNamespace
	p.rulesOut("shareProcessNamespace: false", shared != nil && !*shared, p.shareProcesses, "shareProcessNamespace")
	p.rulesOut("shareProcessNamespace: true", shared != nil && *shared, p.hostPID, "hostPID")
	p.rulesOut("hostPID: true", p.spec.HostPID, p.shareProcesses, "shareProcessNamespace")
	if p.hostPID != nil && p.shareProcesses != nil {
		p.conflict("hostPID of sidecar %s and shareProcessNamespace of sidecar %s rule each other out", p.hostPID.Ref, p.shareProcesses.Ref)
	}
}

// findUnwantedNetwork finds a sidecar that is not for pods with hostNetwork beside one that
// makes it such a pod.
func (p *plan) findUnwantedNetwork() {
	for _, s := range p.sidecars {
		if p.hostNetwork != nil && s.SkipHostNetworkPods {
			p.conflict("hostNetwork of sidecar %s and skipHostNetworkPods of sidecar %s rule each other out", p.hostNetwork.Ref, s.Ref)
		}
	}
}

// networked tells a sysctl of the network namespace. Slashes may stand for the dots.
func networked(sysctl Named) bool {
	return strings.HasPrefix(sysctl.Name, "net.") || strings.HasPrefix(sysctl.Name, "net/")
}

// rulesOut notes what the pod has that cannot be had with what somebody wants, if anybody does.
func (p *plan) rulesOut(what string, has bool, by *conf.Sidecar, wanted string) {
	if !has || by == nil {
		return
	}
	whose := "the sidecar's"
	if len(p.sidecars) > 1 {
		whose = fmt.Sprintf("sidecar %s's", by.Ref)
	}
	p.conflict("the pod has %s, which rules out %s %s", what, whose, wanted)
}

// device is a sidecar of which a container has a block device, or nil.
func (p *plan) device() *conf.Sidecar {
	for _, c := range p.ours() {
		if len(c.injected.Devices) > 0 {
			return c.by
		}
	}
	return nil
}
