package conf

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// Level is a level of the Pod Security Standards: the strictest that a pod of the definition alone
// keeps to. In a pod that sets a securityContext for all its containers it may keep to a stricter one.
type Level string

// The levels, from the strictest on. Privileged is what gives power over the node.
const (
	Restricted Level = Level(api.LevelRestricted)
	Baseline   Level = Level(api.LevelBaseline)
	Privileged Level = Level(api.LevelPrivileged)
)

// pod is what a definition makes of an empty pod, as far as the Pod Security Standards look at it.
func (d *definition) pod() (*metav1.ObjectMeta, *corev1.PodSpec) {
	return &metav1.ObjectMeta{Annotations: d.Annotations}, &corev1.PodSpec{
		InitContainers: slices.Concat(d.PrependInitContainers, d.InitContainers),
		Containers:     slices.Concat(d.PrependContainers, d.Containers),
		Volumes:        d.Volumes,
		HostNetwork:    d.HostNetwork,
		HostPID:        d.HostPID,
		HostIPC:        d.HostIPC,
	}
}

// power is what a definition needs.
type power struct {
	level Level
	needs []need // why that is more than baseline; none if it is not
}

// need is why a definition needs a level: what a check of the library reports, such as `hostPath
// volumes`, or annotations for a container runtime. The details of the library may quote the definition.
type need string

// standards are the Pod Security Standards. They are safe for concurrent use.
type standards struct {
	evaluator policy.Evaluator
}

// newStandards panics where the library finds fault with its own checks, which its tests rule out.
func newStandards() *standards {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		panic(err)
	}
	return &standards{evaluator: evaluator}
}

// weigh tells what a definition needs, by the newest version of the standards.
func (s *standards) weigh(d *definition) power {
	if needs := s.against(api.LevelBaseline, d); len(needs) > 0 {
		return power{level: Privileged, needs: needs}
	}
	if needs := s.against(api.LevelRestricted, d); len(needs) > 0 {
		return power{level: Baseline}
	}
	return power{level: Restricted}
}

// against returns why a definition does not keep to a level. Beyond the standards, annotations that a container
// runtime interprets do not keep to any level but privileged.
func (s *standards) against(level api.Level, d *definition) []need {
	metadata, spec := d.pod()
	var needs []need
	for _, result := range s.evaluator.EvaluatePod(api.LevelVersion{Level: level, Version: api.LatestVersion()}, metadata, spec) {
		if !result.Allowed {
			needs = append(needs, need(cmp.Or(result.ForbiddenReason, policy.UnknownForbiddenReason)))
		}
	}
	return append(needs, runtimeAnnotations(d.Annotations)...)
}

// place is where a definition has what a need is about: the first of such fields.
type place struct {
	need need
	path *field.Path // nil where it takes several
	line int
}

func (p place) fault() error {
	if p.path == nil {
		return errors.New(string(p.need))
	}
	return withoutValue(field.Forbidden(p.path, string(p.need)))
}

// weigh notes what the document, with something in its holes, needs by itself, without its base.
func (p *parsed) weigh(l *loading, d *definition, kept tree, lines outline) {
	p.power = l.standards.weigh(d)
	for _, found := range l.locate(kept, p.power.needs) {
		if found.line = p.nameLine; found.path != nil {
			found.line = lines.line(found.path.String())
		}
		p.places = append(p.places, found)
	}
	slices.SortStableFunc(p.places, func(a, b place) int { return cmp.Compare(a.line, b.line) })
}

// unconsented are the faults of a document that needs, with all that it inherits, what its source
// may not give.
func (l *loading) unconsented(p *parsed, all power) []error {
	kind := p.document.Origin.Kind
	if all.level != Privileged || l.rules.privileged(kind) {
		return nil
	}
	var faults []error
	fault := func(line int, err error) {
		faults = append(faults, &Error{Origin: p.document.Origin, Line: line, Err: err})
	}
	fault(p.nameLine, fmt.Errorf("needs the Pod Security level privileged, which a definition in a %s may not: %s",
		kind.singular(), l.rules.advice(kind)))
	for _, own := range p.places {
		if slices.ContainsFunc(all.needs, func(n need) bool { return n == own.need }) {
			fault(own.line, own.fault())
		}
	}
	for _, n := range all.needs {
		if !slices.Contains(p.power.needs, n) {
			fault(p.inheritsLine, field.Forbidden(field.NewPath("inherits"), fmt.Sprintf("with what it inherits from %q: %s", p.inherits, n)))
		}
	}
	return faults
}
