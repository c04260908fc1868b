package conf

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validate returns the faults of a definition: those of our own rules, and those for which the API server would
// reject each pod with the sidecar.
func validate(d *definition) field.ErrorList {
	faults := append(validateNames(d), validateCounts(d)...)
	if d.HostNetwork && d.SkipHostNetworkPods {
		at := field.NewPath("skipHostNetworkPods")
		faults = append(faults, field.Forbidden(at, "must not be set together with hostNetwork"))
	}
	faults = append(faults, validateAnnotations(field.NewPath("annotations"), d.Annotations)...)
	faults = append(faults, validateAppliesTo(field.NewPath("appliesTo"), d.AppliesTo)...)
	faults = append(faults, validatePatterns(
		field.NewPath("allowedNamespaces"), d.AllowedNamespaces, maxNamespacePatterns)...)
	library := d.Faults()
	for i := range library {
		library[i] = withKey(library[i])
	}
	reported := faults[:min(len(faults), mostFaults)]
	return append(faults, unlessBelow(reported, library)...)
}

// withKey adds the key of a label, annotation or node selector to the path of its fault.
func withKey(fault *field.Error) *field.Error {
	key, keyed := fault.BadValue.(string)
	if !keyed {
		return fault
	}
	return &field.Error{
		Type: fault.Type, Field: member(field.NewPath(fault.Field), key).String(),
		BadValue: field.OmitValueType{}, Detail: fault.Detail,
	}
}

// validateNames requires unique names and mount paths, because merging relies on them. Kubernetes' own validation
// checks the others.
func validateNames(d *definition) field.ErrorList {
	faults := validateMountPaths(field.NewPath("volumeMounts"), d.VolumeMounts, nil)
	faults = append(faults, validateEnvNames(field.NewPath("env"), d.Env)...)
	mounts := make(names)
	for i, m := range d.VolumeMounts {
		faults = append(faults, mounts.add(field.NewPath("volumeMounts").Index(i).Child("name"), m.Name)...)
	}
	secrets := make(names)
	for i, secret := range d.ImagePullSecrets {
		at := field.NewPath("imagePullSecrets").Index(i).Child("name")
		if secret.Name == "" {
			faults = append(faults, field.Required(at, ""))
		}
		faults = append(faults, secrets.add(at, secret.Name)...)
	}
	for _, list := range d.containerLists() {
		for i := range list.containers {
			at, c := field.NewPath(list.name).Index(i), &list.containers[i]
			faults = append(faults, validateMountPaths(at.Child("volumeMounts"), c.VolumeMounts, c.VolumeDevices)...)
			faults = append(faults, validateEnvNames(at.Child("env"), c.Env)...)
		}
	}
	return faults
}

// maxMembers bounds each map of a definition, and the tolerations. A review compares each member with those of the
// pod and of other sidecars.
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

// validateMountPaths rejects duplicate paths. A container runtime does not distinguish /data/ from /data.
func validateMountPaths(at *field.Path, mounts []corev1.VolumeMount, devices []corev1.VolumeDevice) field.ErrorList {
	paths := make(names)
	for _, d := range devices {
		paths[cleanMount(d.DevicePath)] = true
	}
	var faults field.ErrorList
	for i, m := range mounts {
		faults = append(faults, paths.add(at.Index(i).Child("mountPath"), cleanMount(m.MountPath))...)
	}
	return faults
}

// validateEnvNames rejects duplicate variables. Kubernetes would use the last one.
func validateEnvNames(at *field.Path, list []corev1.EnvVar) field.ErrorList {
	var faults field.ErrorList
	seen := make(names)
	for i, e := range list {
		faults = append(faults, seen.add(at.Index(i).Child("name"), e.Name)...)
	}
	return faults
}

// names are the names of the preceding elements of a list.
type names map[string]bool

// add returns a fault if the name is a duplicate. An empty name is not, since a missing name is another fault.
func (n names) add(at *field.Path, name string) field.ErrorList {
	if n[name] {
		return field.ErrorList{field.Duplicate(at, name)}
	}
	n[name] = name != ""
	return nil
}

// cleanMount removes trailing slashes of a mount path.
func cleanMount(path string) string {
	if trimmed := strings.TrimRight(path, "/"); trimmed != "" {
		return trimmed
	}
	return path
}

// MostAnnotations is the maximum size of all annotations of an object in bytes.
const MostAnnotations = 256 << 10

// validateAnnotations rejects annotations that the API server or a kubelet interprets.
func validateAnnotations(at *field.Path, annotations map[string]string) field.ErrorList {
	var faults field.ErrorList
	for key := range annotations {
		if why := reservedAnnotation(key); why != "" {
			faults = append(faults, field.Forbidden(member(at, key), why))
		}
	}
	sortFaults(faults)
	return faults
}

// reservedAnnotation returns why an annotation is reserved. It returns an empty string for other annotations.
func reservedAnnotation(key string) string {
	switch key = strings.ToLower(key); {
	case strings.HasPrefix(key, "kubernetes.io/config."):
		return "reserved for the kubelet"
	case key == "controller.kubernetes.io/pod-deletion-cost":
		return "reserved for the controller of the pod"
	case strings.HasPrefix(key, "container.apparmor.security.beta.kubernetes.io/"):
		return "use securityContext.appArmorProfile of the container"
	case strings.HasPrefix(key, "container.seccomp.security.alpha.kubernetes.io/"),
		key == "seccomp.security.alpha.kubernetes.io/pod":
		return "use securityContext.seccompProfile of the container"
	}
	return ""
}

// ownKeys rejects labels and annotations of the injector itself: a pod with its status is not injected, and its
// request selects other sidecars.
func (l *loader) ownKeys(d *definition) field.ErrorList {
	own := l.rules.AnnotationNamespace
	var faults field.ErrorList
	for name, members := range map[string]map[string]string{"labels": d.Labels, "annotations": d.Annotations} {
		for key := range members {
			if own != "" && strings.HasPrefix(key, own+"/") {
				faults = append(faults, field.Forbidden(member(field.NewPath(name), key), own+" is the injector's own"))
			}
		}
	}
	sortFaults(faults)
	return faults
}
