package conf

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validate returns what is wrong with a definition: rules of our own, and what the API server would
// reject in every pod that gets the definition.
func validate(d *definition) field.ErrorList {
	faults := append(validateNames(d), validateCounts(d)...)
	if d.HostNetwork && d.SkipHostNetworkPods {
		at := field.NewPath("skipHostNetworkPods")
		faults = append(faults, field.Forbidden(at, "must not be set together with hostNetwork"))
	}
	faults = append(faults, validateAnnotations(field.NewPath("annotations"), d.Annotations)...)
	faults = append(faults, validateAppliesTo(field.NewPath("appliesTo"), d.AppliesTo)...)
	faults = append(faults, validatePatterns(field.NewPath("allowedNamespaces"), d.AllowedNamespaces)...)
	library := d.Faults()
	for i := range library {
		library[i] = withKey(library[i])
	}
	reported := faults[:min(len(faults), mostFaults)]
	return append(faults, unlessBelow(reported, library)...)
}

// withKey puts the key of a label, annotation or node selector into the path of its fault.
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

// validateNames requires the unique names and mount paths that merging relies on, as far as
// Kubernetes does not.
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

// validateMountPaths compares paths as a container runtime does, for which /data/ is /data.
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

// validateEnvNames rejects a variable that is there twice, of which Kubernetes uses the last.
func validateEnvNames(at *field.Path, list []corev1.EnvVar) field.ErrorList {
	var faults field.ErrorList
	seen := make(names)
	for i, e := range list {
		faults = append(faults, seen.add(at.Index(i).Child("name"), e.Name)...)
	}
	return faults
}

// names are those that a list has so far.
type names map[string]bool

// add returns a fault if the name is not new. An empty name is missing, which is another fault.
func (n names) add(at *field.Path, name string) field.ErrorList {
	if n[name] {
		return field.ErrorList{field.Duplicate(at, name)}
	}
	n[name] = name != ""
	return nil
}

// cleanMount returns a mount path in the form that is compared.
func cleanMount(path string) string {
	if trimmed := strings.TrimRight(path, "/"); trimmed != "" {
		return trimmed
	}
	return path
}

// MostAnnotations is what an API server takes of all annotations of an object, in bytes.
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

// reservedAnnotation returns why a definition may not have an annotation, or an empty string.
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

// ownKeys rejects labels and annotations of the injector itself: a pod that had its status would
// not be injected, and a pod that had its request would request another sidecar.
func (l *loading) ownKeys(d *definition) field.ErrorList {
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
