package conf

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Demands are what a container asks of the pod that it comes into. The API server refuses a
// pod that does not meet them.
type Demands struct {
	// Sleep is the longest sleep of its lifecycle hooks, in seconds.
	Sleep int64
	// RestartsOnResize tells that a resize restarts it.
	RestartsOnResize bool
	// UnmaskedProc tells that it wants to see all of /proc.
	UnmaskedProc bool
	// LinuxOnly and WindowsOnly tell that its security context has what the other system has not.
	LinuxOnly, WindowsOnly bool
	// Claims are the resource claims that it uses.
	Claims []string
}

func demandsOf(c *corev1.Container) Demands {
	var d Demands
	if c.Lifecycle != nil {
		d.Sleep = max(sleepOf(c.Lifecycle.PostStart), sleepOf(c.Lifecycle.PreStop))
	}
	d.RestartsOnResize = slices.ContainsFunc(c.ResizePolicy, func(p corev1.ContainerResizePolicy) bool {
		return p.RestartPolicy == corev1.RestartContainer
	})
	if s := c.SecurityContext; s != nil {
		d.UnmaskedProc = s.ProcMount != nil && *s.ProcMount == corev1.UnmaskedProcMount
		d.WindowsOnly = s.WindowsOptions != nil
		d.LinuxOnly = linuxOnly(*s)
	}
	for _, claim := range c.Resources.Claims {
		d.Claims = append(d.Claims, claim.Name)
	}
	return d
}

// linuxOnly tells a security context that has more than what both systems know.
func linuxOnly(s corev1.SecurityContext) bool {
	s.WindowsOptions, s.RunAsNonRoot = nil, nil
	return s != corev1.SecurityContext{}
}

func sleepOf(hook *corev1.LifecycleHandler) int64 {
	if hook == nil || hook.Sleep == nil {
		return 0
	}
	return hook.Sleep.Seconds
}
