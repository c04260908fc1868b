package podrules

import corev1 "k8s.io/api/core/v1"

// PodOf returns the pod that is validated for a definition.
func PodOf(d *Definition) *corev1.Pod {
	return d.pod()
}
