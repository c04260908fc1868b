package conf

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateTogether finds fields of the pod that rule each other out.
func validateTogether(d *definition) field.ErrorList {
	var faults field.ErrorList
	if d.HostPID && d.ShareProcessNamespace {
		faults = append(faults, field.Forbidden(field.NewPath("shareProcessNamespace"), "not together with hostPID"))
	}
	if d.HostNetwork && d.SkipHostNetworkPods {
		faults = append(faults, field.Forbidden(field.NewPath("skipHostNetworkPods"), "not together with hostNetwork"))
	}
	return faults
}

// validateLabels is for labels and node selectors, which match labels.
func validateLabels(path *field.Path, labels map[string]string) field.ErrorList {
	var faults field.ErrorList
	for key, value := range labels {
		faults = append(faults, checked(member(path, key), key, validation.IsQualifiedName(key))...)
		faults = append(faults, checked(member(path, key), value, validation.IsValidLabelValue(value))...)
	}
	sortFaults(faults)
	return faults
}

// MostAnnotations is what an API server takes of all annotations of an object, in bytes.
const MostAnnotations = 256 << 10

func validateAnnotations(path *field.Path, annotations map[string]string) field.ErrorList {
	var faults field.ErrorList
	size := 0
	for key, value := range annotations {
		size += len(key) + len(value)
		faults = append(faults, checked(member(path, key), key, validation.IsQualifiedName(strings.ToLower(key)))...)
		if why := reservedAnnotation(key); why != "" {
			faults = append(faults, field.Forbidden(member(path, key), why))
		}
	}
	sortFaults(faults)
	if size > MostAnnotations {
		faults = append(faults, field.TooLong(path, "", MostAnnotations))
	}
	return faults
}

// ownKeys finds labels and annotations of the injector itself: a pod that came with its status
// would not be injected, and one with its request would ask for what it did not.
func (l *loading) ownKeys(d *definition) field.ErrorList {
	var faults field.ErrorList
	for name, members := range map[string]map[string]string{"labels": d.Labels, "annotations": d.Annotations} {
		for key := range members {
			if l.rules.AnnotationNamespace != "" && strings.HasPrefix(key, l.rules.AnnotationNamespace+"/") {
				faults = append(faults, field.Forbidden(member(field.NewPath(name), key), l.rules.AnnotationNamespace+" is the injector's own"))
			}
		}
	}
	sortFaults(faults)
	return faults
}

// reservedAnnotation returns why a definition may not have an annotation: the API server reads it, and would
// refuse the pod or change what it is.
func reservedAnnotation(key string) string {
	switch key = strings.ToLower(key); {
	case strings.HasPrefix(key, "kubernetes.io/config."):
		return "it is a kubelet's"
	case key == "controller.kubernetes.io/pod-deletion-cost":
		return "it is for the pod's controller to set"
	case strings.HasPrefix(key, "container.apparmor.security.beta.kubernetes.io/"):
		return "use securityContext.appArmorProfile of the container"
	case strings.HasPrefix(key, "container.seccomp.security.alpha.kubernetes.io/"), key == "seccomp.security.alpha.kubernetes.io/pod":
		return "use securityContext.seccompProfile of the container"
	}
	return ""
}

// validateToleration follows the API server. It knows more operators, but takes them only
// behind a gate that is off (KEP-5471).
func validateToleration(path *field.Path, t *corev1.Toleration) field.ErrorList {
	var faults field.ErrorList
	if t.Key != "" {
		faults = append(faults, checked(path.Child("key"), t.Key, validation.IsQualifiedName(t.Key))...)
	}
	switch t.Operator {
	case corev1.TolerationOpExists:
		if t.Value != "" {
			faults = append(faults, field.Invalid(path.Child("value"), t.Value, "must be empty with operator Exists"))
		}
	default:
		faults = append(faults, checked(path.Child("value"), t.Value, validation.IsValidLabelValue(t.Value))...)
		if t.Key == "" {
			faults = append(faults, field.Required(path.Child("key"), "only with operator Exists it may be empty"))
		}
	}
	if t.TolerationSeconds != nil && t.Effect != corev1.TaintEffectNoExecute {
		faults = append(faults, field.Forbidden(path.Child("tolerationSeconds"), "only with effect NoExecute"))
	}
	return faults
}
