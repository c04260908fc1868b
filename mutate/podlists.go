package mutate

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

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
	nameserversList
	searchesList
	optionsList
	groupsList
	sysctlsList
	nodeSelectorMap
	securityFields
	labelsMap // the first one in the metadata
	annotationsMap
	podListCount
)

// receiveLists returns the lists and maps of the pod as received. Host aliases of the pod are not
// compared, because several may have the same address.
func (p *plan) receiveLists() [podListCount]podList {
	spec, metadata := p.spec, p.object.metadata()
	var dns dnsConfig
	if own := p.specDetails.DNSConfig; own != nil {
		dns = *own
	}
	var security podSecurity
	if own := p.specDetails.SecurityContext; own != nil {
		security = *own
	}
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
		nameserversList: {"dnsConfig.nameservers", checkName, list{received: namesOf(dns.Nameservers, itself)}},
		searchesList:    {"dnsConfig.searches", checkName, list{received: namesOf(dns.Searches, itself)}},
		optionsList:     {"dnsConfig.options", checkDNSOption, list{received: dns.Options}},
		groupsList: {"podSecurityContext.supplementalGroups", checkName, list{
			received: namesOf(security.groups, decimal),
		}},
		sysctlsList:     {"podSecurityContext.sysctls", checkSysctl, list{received: security.sysctls}},
		nodeSelectorMap: {"nodeSelector", checkNodeSelector, list{members: spec.NodeSelector}},
		securityFields:  {"podSecurityContext", checkSecurityField, list{}},
		labelsMap:       {"labels", checkName, list{members: metadata.Labels}},
		annotationsMap:  {"annotations", checkName, list{members: metadata.Annotations}},
	}
}

func unnamed(struct{}) string { return "" }

func itself(name string) string { return name }

func decimal(number *int64) string { return strconv.FormatInt(*number, 10) }

// comparedNames returns the names of the pod's elements of a field if sidecars have elements of it.
func comparedNames[E any](p *plan, field string, received []E, nameOf func(E) string) []Named {
	has := func(s *conf.Sidecar) bool { return len(s.Elements(field)) > 0 }
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

func checkDNSOption(p *plan, s *conf.Sidecar, _ *container, l *list, next *conf.Element) omission {
	return p.checkSetting(s, l, next, "dnsConfig.options")
}

// checkSetting looks for the name. Different values in two sidecars are a conflict.
func (p *plan) checkSetting(s *conf.Sidecar, l *list, next *conf.Element, field string) omission {
	if other, _ := l.find(next.Name); other.by != nil && !bytes.Equal(other.JSON, next.JSON) {
		p.conflict("sidecars %s and %s have different values for %s in %s",
			other.by.Ref, s.Ref, quoted(next.Name), field)
		return omission{text: sidecarAddsOther, by: other.by}
	}
	return l.checkName(next, podHasIt)
}

func checkSysctl(p *plan, s *conf.Sidecar, _ *container, l *list, next *conf.Element) omission {
	return p.checkSetting(s, l, next, "podSecurityContext.sysctls")
}

// checkSecurityField looks for the field. The pod may have another value, but not of fsGroup: a volume has one group.
func checkSecurityField(p *plan, s *conf.Sidecar, _ *container, l *list, next *conf.Element) omission {
	var own jsontext.Value
	if received := p.specDetails.SecurityContext; received != nil {
		own = received.others[next.Name]
	}
	switch {
	case own == nil:
		return p.checkSetting(s, l, next, "podSecurityContext")
	case includes(decodeValue(own), decodeValue(next.JSON)):
		return omission{text: podHasIt}
	case next.Name == "fsGroup":
		p.conflict("the pod and sidecar %s have different values for fsGroup, %s and %s",
			s.Ref, quoted(string(own)), quoted(string(next.JSON)))
	}
	return omission{text: podHasAnother}
}
