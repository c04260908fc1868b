package mutate

import "k8s-sidecar-injector/conf"

// shareHostNamespaces sets hostNetwork, hostPID, hostIPC and shareProcessNamespace. A pod with
// shareProcessNamespace: false is a conflict, see findHostConflicts.
func (p *plan) shareHostNamespaces(s *conf.Sidecar) {
	shared := p.spec.ShareProcessNamespace
	p.enable(s, "hostNetwork", s.HostNetwork, p.spec.HostNetwork, &p.hostNetwork)
	p.enable(s, "hostPID", s.HostPID, p.spec.HostPID, &p.hostPID)
	p.enable(s, "hostIPC", s.HostIPC, p.spec.HostIPC, &p.hostIPC)
	p.enable(s, "shareProcessNamespace", s.ShareProcessNamespace, shared != nil && *shared, &p.shareProcesses)
}

// enable sets by to the sidecar if the sidecar wants the field to be true and is the first to do so.
func (p *plan) enable(s *conf.Sidecar, field string, wanted, received bool, by **conf.Sidecar) {
	if !wanted {
		return
	}
	var why omission
	if received {
		why.text = podHasIt
	} else if *by != nil {
		why = omission{text: sidecarAddsIt, by: *by}
	}
	if p.record(s, nil, field, "true", why) {
		*by = s
	}
}

// findHostConflicts looks for a field that the pod sets to false, and for sidecars that exclude each
// other. The API server reports other combinations that it rejects.
func (p *plan) findHostConflicts() {
	if shared := p.spec.ShareProcessNamespace; shared != nil && !*shared && p.shareProcesses != nil {
		p.conflict("the pod has shareProcessNamespace: false, and sidecar %s sets it to true", p.shareProcesses.Ref)
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
