package mutate

import (
	"k8s-sidecar-injector/conf"
)

// addScheduling adds what concerns the choice of a node and the pulling of images, and host
// aliases. Host aliases of the pod are not compared, because several may have the same address.
func (p *plan) addScheduling(s *conf.Sidecar) {
	add(p, s, nil, "nodeSelector", &p.nodeSelector, s.NodeSelector, func(next *conf.Pair) omission {
		return p.checkNodeSelector(s, next)
	})
	add(p, s, nil, "tolerations", &p.tolerations, s.Tolerations, p.checkToleration)
	add(p, s, nil, "imagePullSecrets", &p.pullSecrets, s.ImagePullSecrets, p.checkPullSecret)
	add(p, s, nil, "hostAliases", &p.hostAliases, s.HostAliases, func(next *conf.RawJSON) omission {
		return alreadyAdded(p, &p.hostAliases, next, textKey)
	})
}

// checkNodeSelector looks for the key. Another value is a conflict: no node could match both.
func (p *plan) checkNodeSelector(s *conf.Sidecar, next *conf.Pair) omission {
	if value, found := p.spec.NodeSelector[next.Key]; found && value != next.Value {
		p.conflict("the pod and sidecar %s have different values for %s in nodeSelector", s.Ref, next.Key)
		return omission{text: podHasAnother}
	} else if found {
		return omission{text: podHasIt}
	}
	other := findAdded(p, &p.nodeSelector, next.Key, pairKey)
	if other == nil {
		return omission{}
	}
	if other.element.Value != next.Value {
		p.conflict("sidecars %s and %s have different values for %s in nodeSelector", other.by.Ref, s.Ref, next.Key)
		return omission{text: sidecarAddsOther, by: other.by}
	}
	return addedBy(other.by)
}

// checkToleration ignores tolerationSeconds: two tolerations that match the same taints are one.
func (p *plan) checkToleration(next *conf.Toleration) omission {
	short := next.Tolerated
	if short.Operator == "Equal" { // the default
		short.Operator = ""
	}
	if contains(p, &p.spec.Tolerations, next.Tolerated) || contains(p, &p.spec.Tolerations, short) {
		return omission{text: podHasIt}
	}
	return alreadyAdded(p, &p.tolerations, next, tolerationKey)
}

func (p *plan) checkPullSecret(next *conf.Element) omission {
	if contains(p, &p.spec.ImagePullSecrets, Named{Name: next.Name}) {
		return omission{text: podHasIt}
	}
	return alreadyAdded(p, &p.pullSecrets, next, elementKey)
}
