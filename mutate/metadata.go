package mutate

import (
	"slices"

	"k8s-sidecar-injector/conf"
)

// defaultContainer names the container that kubectl takes where a user names none; without it,
// that is the first.
const defaultContainer = "kubectl.kubernetes.io/default-container"

// addMetadata adds the sidecar's labels and annotations, unless the pod or an earlier sidecar
// has the key.
func (p *plan) addMetadata(s *conf.Sidecar) {
	metadata := p.object.metadata()
	p.labels = p.addPairs(s, "labels", p.labels, &metadata.Labels, s.Labels)
	p.annotations = p.addPairs(s, "annotations", p.annotations, &metadata.Annotations, s.Annotations)
}

// addPairs gives the list of pairs that are added with those of the sidecar.
func (p *plan) addPairs(s *conf.Sidecar, field string, added []pair, present *Pairs, pairs []conf.Pair) []pair {
	for _, next := range pairs {
		earlier := findPair(added, next.Key)
		received := present.has(next.Key)
		switch {
		case p.notes == nil:
		case field == nodeSelector:
			p.notes.selector(s, next, present, earlier)
		default:
			p.notes.ofPod(s, field, next.Key, received)
		}
		if !received && earlier == nil {
			added = append(added, pair{Pair: next, by: s})
		}
	}
	return added
}

func findPair(list []pair, key string) *pair {
	at := slices.IndexFunc(list, func(p pair) bool { return p.Key == key })
	if at < 0 {
		return nil
	}
	return &list[at]
}

// setDefaultContainer keeps kubectl at the pod's own first container where one of ours is put
// before it.
func (p *plan) setDefaultContainer() {
	prepends := slices.ContainsFunc(p.ours(), func(c container) bool { return c.first && c.list == containersList })
	annotations := &p.object.metadata().Annotations
	if !prepends || annotations.has(defaultContainer) || findPair(p.annotations, defaultContainer) != nil {
		return
	}
	for i := range p.containers {
		if c := &p.containers[i]; c.received != nil && c.list == containersList && c.received.Name != "" {
			p.annotations = append(p.annotations, pair{Pair: conf.Pair{Key: defaultContainer, Value: c.received.Name}})
			return
		}
	}
}
