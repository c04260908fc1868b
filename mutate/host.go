package mutate

import "k8s-sidecar-injector/conf"

// setHost turns on what the sidecar wants of the node or of the whole pod and the pod does not
// have yet. A pod that says itself that its containers share no processes is held to it, see
// findHostConflicts.
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
