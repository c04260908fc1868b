package conf

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"k8s-sidecar-injector/conf/podrules"
)

// power is the Pod Security level of a definition, and why it is not baseline.
type power struct {
	level      podrules.Level
	violations []podrules.Violation // set if the level is privileged
}

func (l *loading) powerOf(d *definition) power {
	level, violations := l.standards.Level(&d.Definition)
	return power{level, violations}
}

// unconsented returns the faults of a document that needs more, with what it inherits, than the
// operator allows documents of its source.
func (l *loading) unconsented(p *parsed, all power) []error {
	kind := p.document.Origin.Kind
	if all.level != podrules.Privileged || l.rules.privileged(kind) {
		return nil
	}
	var faults []error
	fault := func(line int, err error) {
		faults = append(faults, &Error{Origin: p.document.Origin, Line: line, Err: err})
	}
	fault(p.nameLine, fmt.Errorf("needs the Pod Security level privileged, which a definition in a %s may not: %s",
		kind.singular(), l.rules.advice(kind)))
	for _, violation := range all.violations {
		if slices.Contains(p.power.violations, violation) {
			fault(p.nameLine, fmt.Errorf("violates the Pod Security level baseline: %s", violation))
			continue
		}
		why := fmt.Sprintf("with what it inherits from %q: %s", p.inherits, violation)
		fault(p.inheritsLine, field.Forbidden(field.NewPath("inherits"), why))
	}
	return faults
}
