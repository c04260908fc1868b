package mutate

import (
	"slices"
	"strings"
)

// mirrorAnnotation marks a pod that a kubelet created for a static pod. The API server rejects changes
// to it.
const mirrorAnnotation = "kubernetes.io/config.mirror"

// skipReason returns why a request is never injected, whatever it requests, or "".
func skipReason(policy *Policy, request *Request) Reason {
	if !request.PodCreate() {
		return ReasonNotAPodCreate
	}
	annotations := request.Object.metadata().Annotations
	if _, mirror := annotations[mirrorAnnotation]; mirror {
		return ReasonMirrorPod
	}
	if slices.Contains(policy.IgnoredNamespaces, request.Namespace) {
		return ReasonIgnoredNamespace
	}
	status := annotations[policy.key(statusKey)]
	if strings.EqualFold(strings.TrimSpace(status), statusInjected) {
		return ReasonAlreadyInjected
	}
	return ""
}

// PodCreate reports whether the request creates a core/v1 pod, not a subresource. The object of
// other requests need not be a pod.
func (r *Request) PodCreate() bool {
	return r.Operation == "CREATE" && r.SubResource == "" && r.Resource == Resource{Version: "v1", Resource: "pods"}
}

// hostNetwork reports whether the pod as received uses the network of its node.
func (r *Request) hostNetwork() bool {
	return r.Object.Spec != nil && r.Object.Spec.HostNetwork
}
