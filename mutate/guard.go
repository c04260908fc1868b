package mutate

import (
	"fmt"

	"k8s-sidecar-injector/conf"
)

// guard holds the pod to what the definitions say of who may have them. If one sidecar is
// refused, none is injected.
func guard(policy *Policy, request *Request, sidecars []*conf.Sidecar) (Decision, bool) {
	for _, s := range sidecars {
		if !s.Allows(request.Namespace) {
			return refuse(policy.OnUnknown, ReasonNotAllowed, fmt.Sprintf("sidecar %s is not for namespace %s: its allowedNamespaces do not have it",
				s.Ref, quoted(request.Namespace))), true
		}
	}
	spec := request.Object.Spec
	for _, s := range sidecars {
		if s.SkipHostNetworkPods && spec != nil && spec.HostNetwork {
			return Decision{
				Outcome: Skipped, Reason: ReasonHostNetwork,
				Message: fmt.Sprintf("sidecar %s is not for pods with hostNetwork", s.Ref),
			}, true
		}
	}
	return Decision{}, false
}
