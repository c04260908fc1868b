package mutate

import "k8s-sidecar-injector/conf"

// setHost turns on what the sidecar wants of the node and the pod does not have yet. Host
// aliases are simply appended, so the plan has no field for them.
func (p *plan) setHost(sidecar *conf.Sidecar) {
	p.hostNetwork = sidecar.HostNetwork && !p.spec.HostNetwork
	p.hostPID = sidecar.HostPID && !p.spec.HostPID
}
