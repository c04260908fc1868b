package mutate

import "k8s-sidecar-injector/conf"

// hostFields are the fields of a pod that sidecars may set to true.
var hostFields = [...]string{"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"}

// The indexes of hostFields.
const (
	hostNetwork = iota
	hostPID
	hostIPC
	shareProcessNamespace
)

// shareHostNamespaces sets the host fields. A pod with shareProcessNamespace: false is a conflict, see
// findHostConflicts.
func (p *plan) shareHostNamespaces(s *conf.Sidecar) {
	shared := p.spec.ShareProcessNamespace
	received := [...]bool{p.spec.HostNetwork, p.spec.HostPID, p.spec.HostIPC, shared != nil && *shared}
	wanted := [...]bool{s.HostNetwork, s.HostPID, s.HostIPC, s.ShareProcessNamespace}
	for i, field := range hostFields {
		var why omission
		switch {
		case !wanted[i]:
			continue
		case received[i]:
			why.text = podHasIt
		case p.host[i] != nil:
			why = omission{text: sidecarAddsIt, by: p.host[i]}
		}
		if p.record(s, nil, field, "true", why) {
			p.host[i] = s
		}
	}
}

// findHostConflicts looks for a field that the pod sets to false, and for sidecars that exclude each
// other. The API server reports other combinations that it rejects.
func (p *plan) findHostConflicts() {
	sharer := p.host[shareProcessNamespace]
	if shared := p.spec.ShareProcessNamespace; shared != nil && !*shared && sharer != nil {
		p.conflict("the pod has shareProcessNamespace: false, and sidecar %s sets it to true", sharer.Ref)
	}
	if by := p.host[hostPID]; by != nil && sharer != nil {
		p.conflict("hostPID of sidecar %s and shareProcessNamespace of sidecar %s exclude each other", by.Ref, sharer.Ref)
	}
	for _, s := range p.sidecars {
		if by := p.host[hostNetwork]; by != nil && s.SkipHostNetworkPods {
			p.conflict("hostNetwork of sidecar %s and skipHostNetworkPods of sidecar %s exclude each other", by.Ref, s.Ref)
		}
	}
}
