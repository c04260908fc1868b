package mutate

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"k8s-sidecar-injector/conf"
)

// mirrorAnnotation marks a pod that a kubelet created for a static pod. The API server rejects changes
// to it.
const mirrorAnnotation = "kubernetes.io/config.mirror"

// checkEligible skips requests that are never injected, whatever they request, in the documented order
// of the reasons.
func (r *review) checkEligible() Reason {
	annotations := r.request.Object.metadata().Annotations
	_, mirror := annotations[mirrorAnnotation]
	switch {
	case !r.request.PodCreate():
		return ReasonNotAPodCreate
	case mirror:
		return ReasonMirrorPod
	case slices.Contains(r.policy.IgnoredNamespaces, r.request.Namespace):
		return ReasonIgnoredNamespace
	}
	return ""
}

// PodCreate reports whether the request creates a core/v1 pod, not a subresource. The object of
// other requests need not be a pod.
func (r *Request) PodCreate() bool {
	return r.Operation == "CREATE" && r.SubResource == "" && r.Resource == Resource{Version: "v1", Resource: "pods"}
}

// operatingSystem returns the operating system of a pod, or "" if it is unknown.
func (s *Spec) operatingSystem() string {
	if s == nil {
		return ""
	}
	return cmp.Or(s.OS.Name, s.NodeSelector[corev1.LabelOSStable])
}

// HasContainersOf reports whether the pod has all containers of a sidecar, like a copy of an injected pod.
func (o *Object) HasContainersOf(s *conf.Sidecar) bool { return hasContainersOf(o.Spec, s) }

// hasContainersOf reports whether a pod has all containers of a sidecar, by name. Init containers count only if the
// sidecar has no others: `kubectl debug --keep-init-containers=false` drops them.
func hasContainersOf(spec *Spec, s *conf.Sidecar) bool {
	if spec == nil {
		return false
	}
	c := s.Content()
	received, wanted := spec.Containers, slices.Concat(c.PrependContainers, c.Containers)
	if len(wanted) == 0 {
		received, wanted = spec.InitContainers, slices.Concat(c.PrependInitContainers, c.InitContainers)
	}
	for i := range wanted {
		named := func(r *Container) bool { return r != nil && r.Name == wanted[i].Name }
		if !slices.ContainsFunc(received, named) {
			return false
		}
	}
	return len(wanted) > 0
}
