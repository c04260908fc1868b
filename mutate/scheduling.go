package mutate

import (
	"cmp"
	"slices"

	"k8s-sidecar-injector/conf"
)

const nodeSelector = "nodeSelector"

// addScheduling adds what concerns the choice of the node and the pull of images. Host aliases
// are appended, each once.
func (p *plan) addScheduling(s *conf.Sidecar) {
	p.addNodeSelector(s)
	p.addTolerations(s)
	p.addPullSecrets(s)
	for _, alias := range s.HostAliases {
		present := slices.ContainsFunc(p.hostAliases, func(earlier conf.Text) bool { return string(earlier.JSON) == string(alias.JSON) })
		if p.notes != nil {
			p.notes.ofPod(s, "hostAliases", string(alias.JSON), false)
		}
		if !present {
			p.hostAliases = append(p.hostAliases, alias)
		}
	}
}

// addNodeSelector adds what a node must have. Nodes cannot have a key with two values, so that
// another value of the pod or of an earlier sidecar is a conflict.
func (p *plan) addNodeSelector(s *conf.Sidecar) {
	p.findOtherSelector(s)
	p.nodeSelector = p.addPairs(s, nodeSelector, p.nodeSelector, &p.spec.NodeSelector, s.NodeSelector)
}

func (p *plan) findOtherSelector(s *conf.Sidecar) {
	for _, next := range s.NodeSelector {
		if value, found := p.spec.NodeSelector.find(next.Key); found && value != next.Value {
			p.conflict("the pod has another value for %s in nodeSelector than %s wants", next.Key, p.who(s))
		}
		if earlier := findPair(p.nodeSelector, next.Key); earlier != nil && earlier.Value != next.Value {
			p.conflict("sidecars %s and %s want different values for %s in nodeSelector", earlier.by.Ref, s.Ref, next.Key)
		}
	}
}

// addTolerations adds those of which the pod has none that matches the same.
func (p *plan) addTolerations(s *conf.Sidecar) {
	for _, next := range s.Tolerations {
		own := slices.ContainsFunc(p.spec.Tolerations, func(t conf.Tolerated) bool {
			t.Operator = cmp.Or(t.Operator, "Equal")
			return t == next.Tolerated
		})
		present := own || slices.ContainsFunc(p.tolerations, func(t conf.Toleration) bool { return t.Tolerated == next.Tolerated })
		if p.notes != nil {
			p.notes.ofPod(s, "tolerations", next.String(), own)
		}
		if !present {
			p.tolerations = append(p.tolerations, next)
		}
	}
}

func (p *plan) addPullSecrets(s *conf.Sidecar) {
	for _, next := range s.ImagePullSecrets {
		own := slices.Contains(p.spec.ImagePullSecrets, Named{Name: next.Name})
		present := own || slices.ContainsFunc(p.pullSecrets, func(e conf.Element) bool { return e.Name == next.Name })
		if p.notes != nil {
			p.notes.ofPod(s, "imagePullSecrets", next.Name, own)
		}
		if !present {
			p.pullSecrets = append(p.pullSecrets, next)
		}
	}
}
