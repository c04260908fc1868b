package mutate

import (
	"bytes"
	"cmp"
	"slices"

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
	add(p, s, nil, "hostAliases", &p.hostAliases, s.HostAliases, func(next *conf.Text) omission {
		same := func(other *conf.Text) bool { return bytes.Equal(other.JSON, next.JSON) }
		return alreadyAdded(p.hostAliases, same)
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
	for _, other := range p.nodeSelector {
		if other.element.Key == next.Key && other.element.Value != next.Value {
			p.conflict("sidecars %s and %s have different values for %s in nodeSelector", other.by.Ref, s.Ref, next.Key)
			return omission{text: sidecarAddsOther, by: other.by}
		} else if other.element.Key == next.Key {
			return addedBy(other.by)
		}
	}
	return omission{}
}

// checkToleration ignores tolerationSeconds: two tolerations that match the same taints are one.
func (p *plan) checkToleration(next *conf.Toleration) omission {
	for _, received := range p.spec.Tolerations {
		received.Operator = cmp.Or(received.Operator, "Equal")
		if received == next.Tolerated {
			return omission{text: podHasIt}
		}
	}
	return alreadyAdded(p.tolerations, func(other *conf.Toleration) bool { return other.Tolerated == next.Tolerated })
}

func (p *plan) checkPullSecret(next *conf.Element) omission {
	if slices.Contains(p.spec.ImagePullSecrets, Named{Name: next.Name}) {
		return omission{text: podHasIt}
	}
	return alreadyAdded(p.pullSecrets, func(other *conf.Element) bool { return other.Name == next.Name })
}
