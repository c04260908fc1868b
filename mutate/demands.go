package mutate

import (
	"slices"

	"k8s-sidecar-injector/conf"
)

// defaultGrace is the terminationGracePeriodSeconds of a pod that names none.
const defaultGrace = 30

// findUnmetDemands finds what the sidecar asks of the pod and the pod does not give.
func (p *plan) findUnmetDemands(sidecar *conf.Sidecar) {
	p.findMissingEnvFiles(sidecar.EnvFiles)
	for _, c := range p.ours() {
		demands, name := &c.injected.Demands, quoted(c.name())
		p.findUnmet(demands, name)
		p.findWrongSystem(demands, name)
		p.findMissingEnvFiles(demands.EnvFiles)
	}
}

func (p *plan) findUnmet(demands *conf.Demands, name string) {
	if grace := p.grace(); demands.Sleep > grace {
		p.conflict("container %s sleeps for %d s in a lifecycle hook, and the pod's terminationGracePeriodSeconds are %d", name, demands.Sleep, grace)
	}
	if demands.RestartsOnResize && p.spec.RestartPolicy == "Never" {
		p.conflict("container %s has resizePolicy RestartContainer, which the pod's restartPolicy: Never rules out", name)
	}
	if demands.UnmaskedProc && (p.spec.HostUsers == nil || *p.spec.HostUsers) {
		p.conflict("container %s has procMount: Unmasked, which only a pod with hostUsers: false may have", name)
	}
	for _, claim := range demands.Claims {
		if !slices.Contains(p.spec.ResourceClaims, Named{Name: claim}) {
			p.conflict("container %s uses resource claim %q, which the pod does not have", name, claim)
		}
	}
}

// findWrongSystem is for pods that say for which operating system they are.
func (p *plan) findWrongSystem(demands *conf.Demands, name string) {
	if demands.LinuxOnly && p.spec.OS.Name == "windows" {
		p.conflict("container %s has a securityContext for Linux, and the pod is for Windows", name)
	}
	if demands.WindowsOnly && p.spec.OS.Name == "linux" {
		p.conflict("container %s has windowsOptions, and the pod is for Linux", name)
	}
}

func (p *plan) grace() int64 {
	if p.spec.GracePeriod == nil {
		return defaultGrace
	}
	return *p.spec.GracePeriod
}

func (p *plan) findMissingEnvFiles(volumes []string) {
	for _, volume := range volumes {
		if !p.hasVolume(volume) {
			p.conflict("it reads env from volume %q, which neither the pod nor the sidecar has: add it to one of them", volume)
		}
	}
}
