package mutate

import (
	"slices"

	"k8s-sidecar-injector/conf"
)

// findUnmetDemands finds what the injected containers ask of the pod and the pod does not
// give: one function a demand.
func (p *plan) findUnmetDemands() {
	p.findMissingEnvFiles()
	for _, c := range p.ours() {
		p.findLongSleep(c.injected)
		p.findResizeRestart(c.injected)
		p.findUnmaskedProc(c.injected)
		p.findOtherSystem(c.injected)
		p.findMissingClaims(c.injected)
		p.findPlainDevices(c.injected)
	}
}

// findPlainDevices finds a block device of a volume that somebody else has brought and that is
// none of a claim.
func (p *plan) findPlainDevices(c *conf.Container) {
	for i := range c.Devices {
		if volume := c.Devices[i].Name; p.isPlain(volume) {
			p.conflict("container %q has volume %q as a block device, which only a persistentVolumeClaim or ephemeral volume can be", c.Name, volume)
		}
	}
}

// findMissingEnvFiles finds variables that we add and that are read from volumes that nobody
// has. Each volume is named once.
func (p *plan) findMissingEnvFiles() {
	var named []string
	for i := range p.containers {
		c := &p.containers[i]
		for j := range c.env {
			named = p.findMissingEnvFile(&c.env[j], named)
		}
		if c.injected != nil {
			for j := range c.injected.Env {
				named = p.findMissingEnvFile(&c.injected.Env[j], named)
			}
		}
	}
}

// findMissingEnvFile takes the volumes that were named, and gives them with the one that it
// names.
func (p *plan) findMissingEnvFile(e *conf.Env, named []string) []string {
	v := e.Volume
	if v == "" || slices.Contains(named, v) || p.hasVolume(v) && !p.drops(v) {
		return named
	}
	p.conflict("env %s is read from volume %q, which %s", e.Name, v, p.neither())
	return append(named, v)
}

// drops tells a received volume that is taken away.
func (p *plan) drops(volume string) bool {
	return slices.ContainsFunc(p.dropped, func(at int) bool { return p.spec.Volumes[at].Name == volume })
}

// findLongSleep finds a lifecycle hook that sleeps for longer than the pod has to end
// (KEP-3960). The API server holds postStart to it too.
func (p *plan) findLongSleep(c *conf.Container) {
	if grace := p.spec.grace(); c.Demands.Sleep > grace {
		p.conflict("container %q sleeps for %d s in a lifecycle hook, and the pod's terminationGracePeriodSeconds are %d", c.Name, c.Demands.Sleep, grace)
	}
}

// grace is how many seconds the pod has to end. An API server takes a negative number for 1,
// and none for 30.
func (s *Spec) grace() int64 {
	switch {
	case s.GracePeriod == nil:
		return 30
	case *s.GracePeriod < 0:
		return 1
	}
	return *s.GracePeriod
}

// findResizeRestart finds a container to be restarted at a resize, in a pod where none is ever
// restarted (KEP-1287), such as that of many a Job. Its own restartPolicy does not count.
func (p *plan) findResizeRestart(c *conf.Container) {
	if c.Demands.RestartsOnResize && p.spec.RestartPolicy == "Never" {
		p.conflict("container %q has resizePolicy RestartContainer, which the pod's restartPolicy: Never rules out", c.Name)
	}
}

// findUnmaskedProc finds a container that wants all of /proc in a pod with the users of its
// node (KEP-4265).
func (p *plan) findUnmaskedProc(c *conf.Container) {
	if c.Demands.UnmaskedProc && (p.spec.HostUsers == nil || *p.spec.HostUsers) {
		p.conflict("container %q has procMount: Unmasked, which only a pod with hostUsers: false may have", c.Name)
	}
}

// findOtherSystem finds a security context that the pod's system does not know.
func (p *plan) findOtherSystem(c *conf.Container) {
	if c.Demands.LinuxOnly && p.spec.OS.Name == "windows" {
		p.conflict("container %q has a securityContext for Linux, and the pod is for Windows", c.Name)
	}
	if c.Demands.WindowsOnly && p.spec.OS.Name == "linux" {
		p.conflict("container %q has windowsOptions, and the pod is for Linux", c.Name)
	}
}

// findMissingClaims finds resource claims that the pod does not have (KEP-4381). A sidecar
// cannot bring any.
func (p *plan) findMissingClaims(c *conf.Container) {
	for _, claim := range c.Demands.Claims {
		if !slices.Contains(p.spec.ResourceClaims, Named{Name: claim}) {
			p.conflict("container %q uses resource claim %q, which the pod does not have", c.Name, claim)
		}
	}
}
