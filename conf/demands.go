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
	// EnvFiles are the volumes that its own env is read from.
	EnvFiles []string
}

func demandsOf(c *corev1.Container) Demands {
	d := Demands{EnvFiles: envFiles(c.Env)}
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

// envFiles are the volumes that variables are read from.
func envFiles(list []corev1.EnvVar) []string {
	var volumes []string
	for _, e := range list {
		if e.ValueFrom != nil && e.ValueFrom.FileKeyRef != nil {
			volumes = append(volumes, e.ValueFrom.FileKeyRef.VolumeName)
		}
	}
	return volumes
}

// sharedEnvFiles are the variables that are read from volumes. Unlike those of one container
// they have names here, because a container that has the variable does not get it.
func sharedEnvFiles(list []corev1.EnvVar) []EnvFile {
	var files []EnvFile
	for i := range list {
		for _, volume := range envFiles(list[i : i+1]) {
			files = append(files, EnvFile{Name: list[i].Name, Volume: volume})
		}
	}
	return files
}
