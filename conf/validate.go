package conf

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"k8s-sidecar-injector/conf/podrules"
)

// validate returns the faults of a definition: those of our own rules, and those for which the API server would
// reject each pod with the sidecar.
func validate(d *definition) field.ErrorList {
	faults := append(validateNames(d), validateCounts(d)...)
	if d.HostNetwork && d.SkipHostNetworkPods {
		at := field.NewPath("skipHostNetworkPods")
		faults = append(faults, field.Forbidden(at, "must not be set together with hostNetwork"))
	}
	faults = append(faults, oneOf("os", d.OS, string(corev1.Linux), string(corev1.Windows), AnyOS)...)
	faults = append(faults, oneOf("inJobs", d.InJobs, InJobsKeep, InJobsNative, InJobsSkip)...)
	faults = append(faults, forbiddenAnnotations(d, reservedAnnotation)...)
	faults = append(faults, forbiddenKeys(field.NewPath("extendAnnotations"), d.ExtendAnnotations, d.setsAnnotation)...)
	if a, at := d.AppliesTo, field.NewPath("appliesTo"); a != nil {
		faults = append(faults, validatePatterns(at.Child("containers"), a.Containers, maxContainerPatterns)...)
		faults = append(faults, validatePatterns(at.Child("initContainers"), a.InitContainers, maxContainerPatterns)...)
		faults = append(faults, validateSidecarNames(at.Child("sidecars"), a.Sidecars)...)
	}
	faults = append(faults, validateCopyFrom(d.CopyFrom)...)
	faults = append(faults, validatePatterns(
		field.NewPath("allowedNamespaces"), d.AllowedNamespaces, maxNamespacePatterns)...)
	library := d.Faults()
	if library == nil && d.InJobs == InJobsNative {
		library = validateNative(d)
	}
	for i := range library {
		library[i] = withKey(library[i])
	}
	return append(faults, unlessBelow(faults, library)...)
}

// validateNative returns the faults that a definition has only with its containers as native sidecars.
func validateNative(d *definition) field.ErrorList {
	const as = "as a native sidecar (inJobs: native): "
	faults := d.NativeFaults()
	for _, fault := range faults {
		fault.Detail = as + fault.Detail
	}
	for _, list := range d.containerLists()[2:] { // without init containers
		for i, c := range list.containers {
			if policy := c.RestartPolicy; policy != nil && *policy != corev1.ContainerRestartPolicyAlways {
				at := field.NewPath(list.name).Index(i).Child("restartPolicy")
				faults = append(faults, invalid(at, as+"must be Always"))
			}
		}
	}
	return faults
}

// oneOf returns a fault if a field is set to a word that is not allowed.
func oneOf(name, word string, allowed ...string) field.ErrorList {
	if word == "" || slices.Contains(allowed, word) {
		return nil
	}
	return field.ErrorList{field.NotSupported(field.NewPath(name), field.OmitValueType{}, allowed)}
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
	mounts, secrets := field.NewPath("volumeMounts"), field.NewPath("imagePullSecrets")
	faults := duplicates(mounts, "mountPath", d.VolumeMounts, mountPath)
	mountName := func(m corev1.VolumeMount) string { return m.Name }
	secretName := func(secret corev1.LocalObjectReference) string { return secret.Name }
	faults = append(faults, duplicates(mounts, "name", d.VolumeMounts, mountName)...)
	faults = append(faults, validateVariables(d)...)
	faults = append(faults, duplicates(secrets, "name", d.ImagePullSecrets, secretName)...)
	if d.DNSConfig != nil {
		optionName := func(option corev1.PodDNSConfigOption) string { return option.Name }
		options := field.NewPath("dnsConfig", "options")
		faults = append(faults, duplicates(options, "name", d.DNSConfig.Options, optionName)...)
	}
	for i, secret := range d.ImagePullSecrets {
		if secret.Name == "" {
			faults = append(faults, field.Required(secrets.Index(i).Child("name"), ""))
		}
	}
	for _, list := range d.containerLists() {
		for i, c := range list.containers {
			var devices []string
			for _, device := range c.VolumeDevices {
				devices = append(devices, cleanMount(device.DevicePath))
			}
			at := field.NewPath(list.name).Index(i)
			faults = append(faults, duplicates(at.Child("volumeMounts"), "mountPath", c.VolumeMounts, mountPath, devices...)...)
			faults = append(faults, duplicates(at.Child("env"), "name", c.Env, envName)...)
		}
	}
	return faults
}

// validateVariables requires that each variable is in only one of prependEnv and env, and that each text to append
// has its fields.
func validateVariables(d *definition) field.ErrorList {
	faults := duplicates(field.NewPath("prependEnv"), "name", d.PrependEnv, envName)
	faults = append(faults, duplicates(field.NewPath("env"), "name", d.Env, envName)...)
	prepended := sets.New[string]()
	for _, e := range d.PrependEnv {
		prepended.Insert(e.Name)
	}
	for i, e := range d.Env {
		if e.Name != "" && prepended.Has(e.Name) {
			at := field.NewPath("env").Index(i).Child("name")
			faults = append(faults, field.Forbidden(at, "prependEnv has this variable, and a name may appear in only one list"))
		}
	}
	return append(faults, validateExtensions(d.ExtendEnv)...)
}

func validateExtensions(extensions []podrules.EnvExtension) field.ErrorList {
	list := field.NewPath("extendEnv")
	faults := duplicates(list, "name", extensions, func(e podrules.EnvExtension) string { return e.Name })
	for i, e := range extensions {
		if e.Value == nil {
			faults = append(faults, field.Required(list.Index(i).Child("value"), ""))
		}
		if e.Separator != nil && *e.Separator == "" {
			faults = append(faults, field.Invalid(list.Index(i).Child("separator"), "", "must not be empty"))
		}
	}
	return faults
}

// duplicates returns a fault for each element of a list whose member has the value of an earlier element, or one of
// the known values. An empty value is not a duplicate, since a missing member is another fault.
func duplicates[E any](
	list *field.Path, member string, elements []E, value func(E) string, known ...string,
) field.ErrorList {
	var faults field.ErrorList
	seen := sets.New(known...)
	for i, element := range elements {
		text := value(element)
		if text != "" && seen.Has(text) {
			faults = append(faults, field.Duplicate(list.Index(i).Child(member), text))
		}
		seen.Insert(text)
	}
	return faults
}

// envName returns the name of a variable. Kubernetes would use the last of two with the same name.
func envName(e corev1.EnvVar) string {
	return e.Name
}

// mountPath returns the path of a mount. A container runtime does not distinguish /data/ from /data.
func mountPath(m corev1.VolumeMount) string {
	return cleanMount(m.MountPath)
}

// maxMembers bounds each map of a definition, and some lists. A review compares each member with those of the
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
	check("extendAnnotations", len(d.ExtendAnnotations))
	check("nodeSelector", len(d.NodeSelector))
	check("tolerations", len(d.Tolerations))
	if d.DNSConfig != nil {
		check("dnsConfig.options", len(d.DNSConfig.Options))
	}
	if c := d.PodSecurityContext; c != nil {
		check("podSecurityContext.supplementalGroups", len(c.SupplementalGroups))
		check("podSecurityContext.sysctls", len(c.Sysctls))
	}
	return faults
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

// forbiddenKeys returns a fault for each member of a map for whose key there is a reason.
func forbiddenKeys(path *field.Path, members map[string]string, reason func(key string) string) field.ErrorList {
	var faults field.ErrorList
	for _, key := range slices.Sorted(maps.Keys(members)) {
		if why := reason(key); why != "" {
			faults = append(faults, field.Forbidden(member(path, key), why))
		}
	}
	return faults
}

// forbiddenAnnotations returns a fault for each annotation, or one that is extended, for whose key there is a reason.
func forbiddenAnnotations(d *definition, reason func(key string) string) field.ErrorList {
	faults := forbiddenKeys(field.NewPath("annotations"), d.Annotations, reason)
	return append(faults, forbiddenKeys(field.NewPath("extendAnnotations"), d.ExtendAnnotations, reason)...)
}

// setsAnnotation returns why an annotation cannot be extended, or an empty string.
func (d *definition) setsAnnotation(key string) string {
	if _, found := d.Annotations[key]; found {
		return "annotations has this key, and a key may appear in only one of them"
	}
	return ""
}

// reservedAnnotation returns why an annotation is reserved for the API server or a kubelet, or an empty string.
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
func (h *holder) ownKeys(d *definition) field.ErrorList {
	namespace := h.rules.AnnotationNamespace
	reason := func(key string) string {
		if namespace != "" && strings.HasPrefix(key, namespace+"/") {
			return namespace + " is the injector's own"
		}
		return ""
	}
	faults := forbiddenAnnotations(d, reason)
	return append(faults, forbiddenKeys(field.NewPath("labels"), d.Labels, reason)...)
}
