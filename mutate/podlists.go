package mutate

import (
	"slices"

	"k8s-sidecar-injector/conf"
)

// podList is a list or map of the pod, other than its containers, that sidecars add to.
type podList struct {
	field string // in the definition and in the pod
	check check
	list
}

// The lists and maps of the pod, in the order of the patch.
const (
	volumesList = iota
	hostAliasesList
	pullSecretsList
	tolerationsList
	spreadConstraintsList
	nodeSelectorMap
	labelsMap // the first one in the metadata
	annotationsMap
	podListCount
)

// receiveLists returns the lists and maps of the pod as received. Host aliases of the pod are not
// compared, because several may have the same address.
func (p *plan) receiveLists() [podListCount]podList {
	spec, metadata := p.spec, p.object.metadata()
	return [podListCount]podList{
		volumesList:     {"volumes", checkVolume, list{received: spec.Volumes}},
		hostAliasesList: {"hostAliases", checkName, list{received: namesOf(spec.HostAliases, unnamed)}},
		pullSecretsList: {"imagePullSecrets", checkName, list{received: spec.ImagePullSecrets}},
		tolerationsList: {"tolerations", checkName, list{
			received: comparedNames(p, "tolerations", spec.Tolerations, Toleration.name),
		}},
		spreadConstraintsList: {"topologySpreadConstraints", checkName, list{
			received: comparedNames(p, "topologySpreadConstraints", spec.SpreadConstraints, SpreadConstraint.name),
		}},
		nodeSelectorMap: {"nodeSelector", checkNodeSelector, list{members: spec.NodeSelector}},
		labelsMap:       {"labels", checkName, list{members: metadata.Labels}},
		annotationsMap:  {"annotations", checkName, list{members: metadata.Annotations}},
	}
}

func unnamed(struct{}) string { return "" }

// comparedNames returns the names of the pod's elements of a field if sidecars have elements of it.
func comparedNames[E any](p *plan, field string, received []E, nameOf func(E) string) []Named {
	has := func(s *conf.Sidecar) bool { return len(s.Elements[field]) > 0 }
	if !slices.ContainsFunc(p.sidecars, has) {
		return nil
	}
	return namesOf(received, nameOf)
}

// addToPod adds elements to the lists and maps of the pod. The pod keeps what it has.
func (p *plan) addToPod() {
	for i := range p.lists {
		l := &p.lists[i]
		for _, s := range p.sidecars {
			p.add(s, nil, &l.list, l.field, l.check)
		}
	}
}

// checkVolume looks for the name. Two sidecars may add a volume of the same name only if the volumes are
// equal.
func checkVolume(p *plan, s *conf.Sidecar, _ *container, l *list, next *conf.Element) omission {
	if other, _ := l.find(next.Name); other.by != nil {
		if field := differingField(other.JSON, next.JSON); field != "" {
			p.conflict("sidecars %s and %s have different volumes %q: they differ in %s; rename one of them",
				other.by.Ref, s.Ref, next.Name, field)
			return omission{text: sidecarAddsOther, by: other.by}
		}
	}
	why := l.checkName(next, podHasIt)
	if why.text == podHasIt {
		p.mismatch(s, "volumes", next, nil)
	}
	return why
}

// checkNodeSelector looks for the key. Another value is a conflict: no node could match both.
func checkNodeSelector(p *plan, s *conf.Sidecar, _ *container, l *list, next *conf.Element) omission {
	value, received := l.members[next.Name]
	other, _ := l.find(next.Name)
	switch {
	case received && value != next.Value:
		p.conflict("the pod and sidecar %s have different values for %s in nodeSelector", s.Ref, next.Name)
		return omission{text: podHasAnother}
	case other.by != nil && other.Value != next.Value:
		p.conflict("sidecars %s and %s have different values for %s in nodeSelector", other.by.Ref, s.Ref, next.Name)
		return omission{text: sidecarAddsOther, by: other.by}
	}
	return l.checkName(next, podHasIt)
}
