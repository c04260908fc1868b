package conf

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateContainer checks what core/v1 asks of every container: name, image, ports, env,
// mounts, devices, probes, lifecycle, resources.
func validateContainer(path *field.Path, c *corev1.Container) field.ErrorList {
	faults := label(path.Child("name"), c.Name)
	faults = append(faults, required(path.Child("image"), c.Image)...)
	if image := strings.TrimSpace(c.Image); image != "" && image != c.Image {
		faults = append(faults, field.Invalid(path.Child("image"), c.Image, "has white space around it"))
	}
	faults = append(faults, validatePorts(path.Child("ports"), c.Ports)...)
	faults = append(faults, validateEnv(path.Child("env"), c.Env)...)
	faults = append(faults, validateOwnEnvNames(path.Child("env"), c.Env)...)
	faults = append(faults, validateEnvFrom(path.Child("envFrom"), c.EnvFrom)...)
	faults = append(faults, validateMounts(path.Child("volumeMounts"), c.VolumeMounts)...)
	faults = append(faults, validateOwnMountPaths(path, c)...)
	faults = append(faults, validatePropagation(path.Child("volumeMounts"), c)...)
	faults = append(faults, validateProbes(path, c)...)
	faults = append(faults, validateRestart(path, c)...)
	faults = append(faults, validateResources(path.Child("resources"), &c.Resources)...)
	return append(faults, validateSecurity(path.Child("securityContext"), c.SecurityContext)...)
}

// validateInit checks what only a native sidecar may have (KEP-753): the API server refuses
// probes and lifecycle hooks on an init container that ends.
func validateInit(path *field.Path, c *corev1.Container) field.ErrorList {
	if native(c) {
		return nil
	}
	var faults field.ErrorList
	forbid := func(name string, set bool) {
		if set {
			faults = append(faults, field.Forbidden(path.Child(name), "an init container may have it only with restartPolicy: Always"))
		}
	}
	forbid("livenessProbe", c.LivenessProbe != nil)
	forbid("readinessProbe", c.ReadinessProbe != nil)
	forbid("startupProbe", c.StartupProbe != nil)
	forbid("lifecycle", c.Lifecycle != nil)
	for i, p := range c.ResizePolicy {
		if p.RestartPolicy == corev1.RestartContainer {
			at := path.Child("resizePolicy").Index(i).Child("restartPolicy")
			faults = append(faults, field.Forbidden(at, "an init container may have RestartContainer only with restartPolicy: Always"))
		}
	}
	return faults
}

func validatePorts(path *field.Path, list []corev1.ContainerPort) field.ErrorList {
	var faults field.ErrorList
	names := make(map[string]bool)
	for i, p := range list {
		at := path.Index(i)
		if p.ContainerPort == 0 {
			faults = append(faults, field.Required(at.Child("containerPort"), ""))
		} else {
			faults = append(faults, portNumber(at.Child("containerPort"), int(p.ContainerPort))...)
		}
		if p.HostPort != 0 {
			faults = append(faults, portNumber(at.Child("hostPort"), int(p.HostPort))...)
		}
		if p.Name != "" {
			faults = append(faults, checked(at.Child("name"), p.Name, validation.IsValidPortName(p.Name))...)
			faults = append(faults, unique(names, at.Child("name"), p.Name)...)
		}
		if p.HostIP != "" {
			faults = append(faults, ipAddress(at.Child("hostIP"), p.HostIP)...)
		}
	}
	return faults
}

// validateOwnEnvNames is for the env of one container. The API server would take a name
// twice, but no author means that.
func validateOwnEnvNames(path *field.Path, list []corev1.EnvVar) field.ErrorList {
	var faults field.ErrorList
	names := make(map[string]bool)
	for i, e := range list {
		faults = append(faults, unique(names, path.Index(i).Child("name"), e.Name)...)
	}
	return faults
}

// validateOwnMountPaths checks that no path of the container is used twice, by a mount or a
// device, and no volume as both. A volume may be mounted at several paths.
func validateOwnMountPaths(path *field.Path, c *corev1.Container) field.ErrorList {
	var faults field.ErrorList
	paths, mounted, devices := make(map[string]bool), make(map[string]bool), make(map[string]bool)
	for i, m := range c.VolumeMounts {
		mounted[m.Name] = true
		faults = append(faults, unique(paths, path.Child("volumeMounts").Index(i).Child("mountPath"), cleanMount(m.MountPath))...)
	}
	for i, d := range c.VolumeDevices {
		at := path.Child("volumeDevices").Index(i)
		faults = append(faults, label(at.Child("name"), d.Name)...)
		faults = append(faults, required(at.Child("devicePath"), d.DevicePath)...)
		faults = append(faults, noDotDot(at.Child("devicePath"), d.DevicePath)...)
		faults = append(faults, unique(devices, at.Child("name"), d.Name)...)
		faults = append(faults, unique(paths, at.Child("devicePath"), cleanMount(d.DevicePath))...)
		if mounted[d.Name] {
			faults = append(faults, field.Invalid(at.Child("name"), d.Name, "the volume is in volumeMounts too"))
		}
	}
	return faults
}

func validateSecurity(path *field.Path, s *corev1.SecurityContext) field.ErrorList {
	if s == nil {
		return nil
	}
	var faults field.ErrorList
	if s.Privileged != nil && *s.Privileged && s.AllowPrivilegeEscalation != nil && !*s.AllowPrivilegeEscalation {
		faults = append(faults, field.Invalid(path.Child("allowPrivilegeEscalation"), false, "a privileged container cannot have it"))
	}
	if s.AllowPrivilegeEscalation != nil && !*s.AllowPrivilegeEscalation && s.Capabilities != nil &&
		slices.Contains(s.Capabilities.Add, "CAP_SYS_ADMIN") {
		faults = append(faults, field.Invalid(path.Child("allowPrivilegeEscalation"), false, "a container with CAP_SYS_ADMIN cannot have it"))
	}
	if s.RunAsUser != nil {
		faults = append(faults, checked(path.Child("runAsUser"), *s.RunAsUser, validation.IsValidUserID(*s.RunAsUser))...)
	}
	if s.RunAsGroup != nil {
		faults = append(faults, checked(path.Child("runAsGroup"), *s.RunAsGroup, validation.IsValidGroupID(*s.RunAsGroup))...)
	}
	if p := s.SeccompProfile; p != nil {
		local := p.Type == corev1.SeccompProfileTypeLocalhost
		faults = append(faults, validateProfile(path.Child("seccompProfile"), string(p.Type), local, p.LocalhostProfile)...)
		if p.LocalhostProfile != nil {
			faults = append(faults, relative(path.Child("seccompProfile", "localhostProfile"), *p.LocalhostProfile)...)
		}
	}
	if p := s.AppArmorProfile; p != nil {
		local := p.Type == corev1.AppArmorProfileTypeLocalhost
		faults = append(faults, validateProfile(path.Child("appArmorProfile"), string(p.Type), local, p.LocalhostProfile)...)
	}
	return faults
}

// validateProfile wants localhostProfile exactly where the type is Localhost.
func validateProfile(path *field.Path, typ string, local bool, profile *string) field.ErrorList {
	faults := required(path.Child("type"), typ)
	switch {
	case local && (profile == nil || *profile == ""):
		faults = append(faults, field.Required(path.Child("localhostProfile"), "type is Localhost"))
	case !local && profile != nil:
		faults = append(faults, field.Forbidden(path.Child("localhostProfile"), "only with type Localhost"))
	}
	return faults
}

// validatePropagation keeps Bidirectional to privileged containers, as the API server does.
func validatePropagation(path *field.Path, c *corev1.Container) field.ErrorList {
	if s := c.SecurityContext; s != nil && s.Privileged != nil && *s.Privileged {
		return nil
	}
	var faults field.ErrorList
	for i, m := range c.VolumeMounts {
		if m.MountPropagation != nil && *m.MountPropagation == corev1.MountPropagationBidirectional {
			faults = append(faults, field.Forbidden(path.Index(i).Child("mountPropagation"), "Bidirectional only in a privileged container"))
		}
	}
	return faults
}

// validateRestart checks what says when a container is restarted: by exit code (KEP-5307) and
// at a resize (KEP-1287).
func validateRestart(path *field.Path, c *corev1.Container) field.ErrorList {
	var faults field.ErrorList
	if len(c.RestartPolicyRules) > 0 && c.RestartPolicy == nil {
		faults = append(faults, field.Required(path.Child("restartPolicy"), "restartPolicyRules need it"))
	}
	for i, rule := range c.RestartPolicyRules {
		at := path.Child("restartPolicyRules").Index(i)
		faults = append(faults, required(at.Child("action"), string(rule.Action))...)
		if rule.ExitCodes == nil {
			faults = append(faults, field.Required(at.Child("exitCodes"), ""))
		} else {
			faults = append(faults, required(at.Child("exitCodes", "operator"), string(rule.ExitCodes.Operator))...)
		}
	}
	seen := make(map[string]bool)
	for i, p := range c.ResizePolicy {
		at, name := path.Child("resizePolicy").Index(i), string(p.ResourceName)
		if supported := values(corev1.ResourceCPU, corev1.ResourceMemory); !slices.Contains(supported, name) {
			faults = append(faults, field.NotSupported(at.Child("resourceName"), name, supported))
		}
		faults = append(faults, unique(seen, at.Child("resourceName"), name)...)
		faults = append(faults, required(at.Child("restartPolicy"), string(p.RestartPolicy))...)
	}
	return faults
}

func portNumber(path *field.Path, number int) field.ErrorList {
	return checked(path, int64(number), validation.IsValidPortNum(number))
}

// ports takes from a container what can collide on the node.
func ports(c *corev1.Container) []Port {
	var list []Port
	for _, p := range c.Ports {
		list = append(list, Port{
			ContainerPort: p.ContainerPort,
			HostPort:      p.HostPort,
			Protocol:      cmp.Or(string(p.Protocol), string(corev1.ProtocolTCP)),
			HostIP:        p.HostIP,
		})
	}
	return list
}
