package conf

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validate checks a definition as the API server would check a pod that got it. It checks
// what the API server refuses a pod for, because that is what an injection must never cause.
// References to things outside the definition, such as a mount of a volume that the pod may
// have, are not its business.
func validate(d *definition) field.ErrorList {
	faults := validateLists(d)
	for _, list := range d.containerLists() {
		for i := range list.containers {
			path, c := field.NewPath(list.name).Index(i), &list.containers[i]
			faults = append(faults, validateContainer(path, c)...)
			if list.init {
				faults = append(faults, validateInit(path, c)...)
			}
		}
	}
	for i := range d.Volumes {
		faults = append(faults, validateVolume(field.NewPath("volumes").Index(i), &d.Volumes[i])...)
	}
	faults = append(faults, validateMounts(field.NewPath("volumeMounts"), d.VolumeMounts)...)
	faults = append(faults, validateShared(field.NewPath("volumeMounts"), d.VolumeMounts)...)
	faults = append(faults, validateEnv(field.NewPath("env"), d.Env)...)
	faults = append(faults, validateEnvFrom(field.NewPath("envFrom"), d.EnvFrom)...)
	return append(faults, validatePod(d)...)
}

// validatePod checks what goes into the pod and not into its containers.
func validatePod(d *definition) field.ErrorList {
	var faults field.ErrorList
	for i := range d.HostAliases {
		faults = append(faults, validateHostAlias(field.NewPath("hostAliases").Index(i), &d.HostAliases[i])...)
	}
	if d.ServiceAccountName != "" {
		faults = append(faults, subdomain(field.NewPath("serviceAccountName"), d.ServiceAccountName)...)
	}
	for i, secret := range d.ImagePullSecrets {
		faults = append(faults, subdomain(field.NewPath("imagePullSecrets").Index(i).Child("name"), secret.Name)...)
	}
	for i := range d.Tolerations {
		faults = append(faults, validateToleration(field.NewPath("tolerations").Index(i), &d.Tolerations[i])...)
	}
	faults = append(faults, validateLabels(field.NewPath("labels"), d.Labels)...)
	faults = append(faults, validateLabels(field.NewPath("nodeSelector"), d.NodeSelector)...)
	faults = append(faults, validateAnnotations(field.NewPath("annotations"), d.Annotations)...)
	faults = append(faults, validateParameters(field.NewPath("parameters"), d.Parameters)...)
	faults = append(faults, validateAppliesTo(field.NewPath("appliesTo"), d.AppliesTo)...)
	return append(faults, validatePatterns(field.NewPath("allowedNamespaces"), d.AllowedNamespaces)...)
}

// validateDevices checks the block devices of the definition's own volumes: only a claim can
// be one.
func validateDevices(d *definition) field.ErrorList {
	plain := make(map[string]bool)
	for i := range d.Volumes {
		v := &d.Volumes[i]
		plain[v.Name] = v.PersistentVolumeClaim == nil && v.Ephemeral == nil
	}
	var faults field.ErrorList
	check := func(path *field.Path, c *corev1.Container) {
		for i, device := range c.VolumeDevices {
			if plain[device.Name] {
				faults = append(faults, field.Invalid(path.Child("volumeDevices").Index(i).Child("name"), device.Name,
					"only a persistentVolumeClaim or ephemeral volume can be a block device"))
			}
		}
	}
	for _, list := range d.containerLists() {
		for i := range list.containers {
			check(field.NewPath(list.name).Index(i), &list.containers[i])
		}
	}
	return faults
}

// validateShared is for the mounts that go into every container of a pod: most are not
// privileged, and the API server lets no other propagate mounts to the node.
func validateShared(path *field.Path, mounts []corev1.VolumeMount) field.ErrorList {
	var faults field.ErrorList
	for i, m := range mounts {
		if m.MountPropagation != nil && *m.MountPropagation == corev1.MountPropagationBidirectional {
			faults = append(faults, field.Forbidden(path.Index(i).Child("mountPropagation"),
				"only a privileged container may have Bidirectional: mount it in that container alone"))
		}
	}
	return faults
}

// validateLists checks what concerns several elements of a definition at once. It is the
// part that inheritance can break.
func validateLists(d *definition) field.ErrorList {
	var faults field.ErrorList
	names := make(map[string]bool)
	for _, list := range d.containerLists() {
		for i := range list.containers {
			faults = append(faults, unique(names, field.NewPath(list.name).Index(i).Child("name"), list.containers[i].Name)...)
		}
	}
	clear(names)
	for i, v := range d.Volumes {
		faults = append(faults, unique(names, field.NewPath("volumes").Index(i).Child("name"), v.Name)...)
	}
	clear(names)
	paths := make(map[string]bool)
	for i, m := range d.VolumeMounts {
		path := field.NewPath("volumeMounts").Index(i)
		faults = append(faults, unique(names, path.Child("name"), m.Name)...)
		faults = append(faults, unique(paths, path.Child("mountPath"), cleanMount(m.MountPath))...)
	}
	clear(names)
	for i, e := range d.Env {
		faults = append(faults, unique(names, field.NewPath("env").Index(i).Child("name"), e.Name)...)
	}
	clear(names)
	for i, secret := range d.ImagePullSecrets {
		faults = append(faults, unique(names, field.NewPath("imagePullSecrets").Index(i).Child("name"), secret.Name)...)
	}
	faults = append(faults, validateCounts(d)...)
	faults = append(faults, validateTogether(d)...)
	faults = append(faults, validateDevices(d)...)
	faults = append(faults, validateEnvFiles(d)...)
	return append(faults, validateHostPorts(d)...)
}

// maxMembers is how many members each map of a definition may have, and how many tolerations. A review
// compares each of them with those of the pod and of other sidecars.
const maxMembers = 1000

func validateCounts(d *definition) field.ErrorList {
	var faults field.ErrorList
	check := func(name string, count int) {
		if count > maxMembers {
			faults = append(faults, field.TooMany(field.NewPath(name), count, maxMembers))
		}
	}
	check("labels", len(d.Labels))
	check("annotations", len(d.Annotations))
	check("nodeSelector", len(d.NodeSelector))
	check("tolerations", len(d.Tolerations))
	return faults
}

// validateHostPorts finds two containers of one definition that want the same port of the
// node. Init containers end before the others begin, so only native sidecars take part; the
// others have but themselves to collide with.
func validateHostPorts(d *definition) field.ErrorList {
	var faults field.ErrorList
	taken := make(map[Port]bool)
	for _, list := range d.containerLists() {
		for i := range list.containers {
			among, c := taken, &list.containers[i]
			if list.init && !native(c) {
				among = make(map[Port]bool)
			}
			faults = append(faults, takePorts(among, field.NewPath(list.name).Index(i), c, d.HostNetwork)...)
		}
	}
	return faults
}

// takePorts notes the ports that a container takes on the node. With hostNetwork the API
// server gives every port its own number there, and refuses any other.
func takePorts(taken map[Port]bool, path *field.Path, c *corev1.Container, hostNetwork bool) field.ErrorList {
	var faults field.ErrorList
	for i, p := range ports(c) {
		at := path.Child("ports").Index(i)
		if hostNetwork && p.HostPort != 0 && p.HostPort != p.ContainerPort {
			faults = append(faults, field.Invalid(at.Child("hostPort"), p.HostPort, "must be the containerPort, because of hostNetwork"))
		}
		key := Port{HostPort: p.HostPort, Protocol: p.Protocol, HostIP: p.HostIP}
		if hostNetwork {
			key.HostPort = p.ContainerPort
		}
		if key.HostPort != 0 && taken[key] {
			fault := field.Duplicate(at, key)
			fault.Detail = "another port of the definition is the same port of the node"
			faults = append(faults, fault)
		}
		taken[key] = true
	}
	return faults
}

// native tells an init container that keeps running: a native sidecar (KEP-753).
func native(c *corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

func validateHostAlias(path *field.Path, alias *corev1.HostAlias) field.ErrorList {
	faults := required(path.Child("ip"), alias.IP)
	if alias.IP != "" {
		faults = ipAddress(path.Child("ip"), alias.IP)
	}
	for i, name := range alias.Hostnames {
		faults = append(faults, subdomain(path.Child("hostnames").Index(i), name)...)
	}
	return faults
}

// ipAddress takes what the API server takes today: no leading zeros, but any spelling of IPv6.
func ipAddress(path *field.Path, address string) field.ErrorList {
	return validation.IsValidIPForLegacyField(path, address, true, nil)
}

// cleanMount makes mount paths comparable: to a container runtime /data/ is /data.
func cleanMount(path string) string {
	if trimmed := strings.TrimRight(path, "/"); trimmed != "" {
		return trimmed
	}
	return path
}

// unique reports a value that was seen before. The empty one is reported as missing elsewhere.
func unique(seen map[string]bool, path *field.Path, value string) field.ErrorList {
	if value == "" {
		return nil
	}
	if seen[value] {
		return field.ErrorList{field.Duplicate(path, value)}
	}
	seen[value] = true
	return nil
}

func required(path *field.Path, value string) field.ErrorList {
	if strings.TrimSpace(value) == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	return nil
}

func label(path *field.Path, value string) field.ErrorList {
	return named(path, value, validation.IsDNS1123Label)
}

func subdomain(path *field.Path, value string) field.ErrorList {
	return named(path, value, validation.IsDNS1123Subdomain)
}

// named reports a name that is missing or that the validator finds fault with.
func named(path *field.Path, value string, validator func(string) []string) field.ErrorList {
	if value == "" {
		return required(path, value)
	}
	return checked(path, value, validator(value))
}

func checked(path *field.Path, value any, faults []string) field.ErrorList {
	var list field.ErrorList
	for _, fault := range faults {
		list = append(list, field.Invalid(path, value, fault))
	}
	return list
}

// oneOf wants exactly one of the alternatives, which are named for the message.
func oneOf(path *field.Path, what string, set []string) field.ErrorList {
	switch len(set) {
	case 1:
		return nil
	case 0:
		return field.ErrorList{field.Required(path, fmt.Sprintf("needs exactly one %s", what))}
	default:
		return field.ErrorList{field.Forbidden(path, fmt.Sprintf("has more than one %s: %s", what, strings.Join(set, ", ")))}
	}
}
