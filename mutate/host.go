package mutate

import "k8s-sidecar-injector/conf"

// setHost sets the fields of the whole pod that the sidecar sets and the pod does not.
func (p *plan) setHost(s *conf.Sidecar) {
	shared := p.spec.ShareProcessNamespace
	p.turnOn(s, "hostNetwork", s.HostNetwork, p.spec.HostNetwork, &p.hostNetwork)
	p.turnOn(s, "hostPID", s.HostPID, p.spec.HostPID, &p.hostPID)
	p.turnOn(s, "hostIPC", s.HostIPC, p.spec.HostIPC, &p.hostIPC)
	p.turnOn(s, "shareProcessNamespace", s.ShareProcessNamespace, shared != nil && *shared, &p.shareProcesses)
}

func (p *plan) turnOn(s *conf.Sidecar, name string, wanted, present bool, by **conf.Sidecar) {
	if !wanted {
		return
	}
	if p.notes != nil {
		p.notes.ofPod(s, name, "true", present)
	}
	if !present && *by == nil {
		*by = s
	}
}

// findHostConflicts finds fields that the pod sets to another value, and two sidecars that exclude
// each other. The API server reports other combinations that it rejects.
func (p *plan) findHostConflicts() {
	if shared := p.spec.ShareProcessNamespace; shared != nil && !*shared && p.shareProcesses != nil {
		p.conflict("the pod has shareProcessNamespace: false, and %s sets it to true", p.who(p.shareProcesses))
	}
	if p.hostPID != nil && p.shareProcesses != nil {
		p.conflict("hostPID of sidecar %s and shareProcessNamespace of sidecar %s exclude each other",
			p.hostPID.Ref, p.shareProcesses.Ref)
	}
	for _, s := range p.sidecars {
		if p.hostNetwork != nil && s.SkipHostNetworkPods {
			p.conflict("hostNetwork of sidecar %s and skipHostNetworkPods of sidecar %s exclude each other",
				p.hostNetwork.Ref, s.Ref)
		}
	}
}
