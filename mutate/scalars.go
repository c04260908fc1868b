package mutate

import (
	"bytes"

	"k8s-sidecar-injector/conf"
)

// scalar is a field of the pod with one value that sidecars may set.
type scalar struct {
	field    string // in the definition and in the pod
	received string // empty if a sidecar may set the field
	addition        // empty unless a sidecar sets the field
}

// The scalars, in the order of the patch.
const (
	serviceAccountName = iota
	hostNetwork
	hostPID
	hostIPC
	shareProcessNamespace
	priorityClassName
	runtimeClassName
	gracePeriod
	affinity
	scalarCount
)

// receiveScalars returns the scalars of the pod as received. A pod with shareProcessNamespace: false is a
// conflict, see findHostConflicts.
func (p *plan) receiveScalars() [scalarCount]scalar {
	spec, details := p.spec, &p.specDetails
	shares := spec.ShareProcessNamespace != nil && *spec.ShareProcessNamespace
	return [scalarCount]scalar{
		serviceAccountName:    {field: "serviceAccountName", received: spec.account()},
		hostNetwork:           {field: "hostNetwork", received: trueOrEmpty(spec.HostNetwork)},
		hostPID:               {field: "hostPID", received: trueOrEmpty(spec.HostPID)},
		hostIPC:               {field: "hostIPC", received: trueOrEmpty(spec.HostIPC)},
		shareProcessNamespace: {field: "shareProcessNamespace", received: trueOrEmpty(shares)},
		priorityClassName:     {field: "priorityClassName", received: details.PriorityClassName},
		runtimeClassName:      {field: "runtimeClassName", received: details.RuntimeClassName},
		gracePeriod:           {field: "terminationGracePeriodSeconds"}, // see checkGracePeriod
		affinity:              {field: "affinity", received: trueOrEmpty(len(details.Affinity) > 0)},
	}
}

func trueOrEmpty(value bool) string {
	if value {
		return "true"
	}
	return ""
}

// setScalars sets the scalars that the pod does not have.
func (p *plan) setScalars() {
	for i := range p.scalars {
		target := &p.scalars[i]
		for _, s := range p.sidecars {
			p.setScalar(s, target)
		}
	}
	p.replaceToken()
}

func (p *plan) setScalar(s *conf.Sidecar, target *scalar) {
	elements := s.Elements(target.field)
	for i := range elements {
		next := &elements[i]
		if p.record(s, nil, target.field, next.Name, p.checkScalar(s, target, next)) && p.fits(next) {
			target.addition = addition{Element: next, by: s}
		}
	}
}

func (p *plan) checkScalar(s *conf.Sidecar, target *scalar, next *conf.Element) omission {
	switch {
	case target == &p.scalars[serviceAccountName] && next.Name == defaultAccount:
		return omission{text: defaultIsImplied}
	case target == &p.scalars[gracePeriod]:
		return p.checkGracePeriod(target, next)
	case target.received == next.Name:
		return omission{text: podHasIt}
	case target.received != "":
		return omission{text: podHasAnother}
	case target.by == nil:
		return omission{}
	case bytes.Equal(target.JSON, next.JSON):
		return omission{text: sidecarAddsIt, by: target.by}
	case target == &p.scalars[affinity]:
		p.conflict("sidecars %s and %s have different values for affinity: they differ in %s",
			target.by.Ref, s.Ref, differingField(target.JSON, next.JSON))
	default:
		p.conflict("sidecars %s and %s have different values for %s, %s and %s",
			target.by.Ref, s.Ref, target.field, quoted(target.Name), quoted(next.Name))
	}
	return omission{text: sidecarAddsOther, by: target.by}
}

// findHostConflicts looks for a field that the pod sets to false, and for sidecars that exclude each
// other. The API server reports other combinations that it rejects.
func (p *plan) findHostConflicts() {
	sharer := p.scalars[shareProcessNamespace].by
	if shared := p.spec.ShareProcessNamespace; shared != nil && !*shared && sharer != nil {
		p.conflict("the pod has shareProcessNamespace: false, and sidecar %s sets it to true", sharer.Ref)
	}
	if by := p.scalars[hostPID].by; by != nil && sharer != nil {
		p.conflict("hostPID of sidecar %s and shareProcessNamespace of sidecar %s exclude each other", by.Ref, sharer.Ref)
	}
	for _, s := range p.sidecars {
		if by := p.scalars[hostNetwork].by; by != nil && s.SkipHostNetworkPods {
			p.conflict("hostNetwork of sidecar %s and skipHostNetworkPods of sidecar %s exclude each other", by.Ref, s.Ref)
		}
	}
}
