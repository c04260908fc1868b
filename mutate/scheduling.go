package mutate

import (
	"cmp"

	"k8s-sidecar-injector/conf"
)

// addScheduling adds what concerns the choice of a node and the pulling of images, and host
// aliases. Host aliases of the pod are not compared, because several may have the same address.
func (p *plan) addScheduling(s *conf.Sidecar) {
	check := func(_ *container, next *addition) omission { return p.checkNodeSelector(s, next) }
	p.add(s, nil, "nodeSelector", &p.nodeSelector, additions(p, s, s.NodeSelector, fromPair), check)
	if len(s.Tolerations) > 0 && p.tolerations.received == nil {
		p.tolerations.received = namesOf(p.spec.Tolerations, tolerationName)
	}
	p.add(s, nil, "tolerations", &p.tolerations, additions(p, s, s.Tolerations, fromToleration), nil)
	p.add(s, nil, "imagePullSecrets", &p.pullSecrets, additions(p, s, s.ImagePullSecrets, fromElement), nil)
	p.add(s, nil, "hostAliases", &p.hostAliases, additions(p, s, s.HostAliases, fromText), nil)
}

// checkNodeSelector looks for the key. Another value is a conflict: no node could match both.
func (p *plan) checkNodeSelector(s *conf.Sidecar, next *addition) omission {
	value, received := p.spec.NodeSelector[next.name]
	other, _ := p.nodeSelector.find(next.name)
	switch {
	case received && value != next.value:
		p.conflict("the pod and sidecar %s have different values for %s in nodeSelector", s.Ref, next.name)
		return omission{text: podHasAnother}
	case received:
		return omission{text: podHasIt}
	case other.by != nil && other.value != next.value:
		p.conflict("sidecars %s and %s have different values for %s in nodeSelector", other.by.Ref, s.Ref, next.name)
		return omission{text: sidecarAddsOther, by: other.by}
	}
	return p.nodeSelector.checkName(next, podHasIt)
}

// tolerationName ignores tolerationSeconds: two tolerations that match the same taints are one.
func tolerationName(t conf.Tolerated) string {
	t.Operator = cmp.Or(t.Operator, "Equal") // the default
	return t.String()
}
