package conf

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"k8s-sidecar-injector/conf/podrules"
)

// podSecurity is the Pod Security level of a definition, and why it is not a stricter one.
type podSecurity struct {
	level      podrules.Level
	violations []string // of the next stricter level
}

// short returns the violations without their details.
func (s *podSecurity) short() []string {
	var reasons []string
	for _, violation := range s.violations {
		reason, _, _ := strings.Cut(violation, " (")
		reasons = append(reasons, reason)
	}
	return reasons
}

func (l *loader) evaluate(d *definition) podSecurity {
	level, violations := l.standards.Level(&d.Definition)
	return podSecurity{level, violations}
}

// checkLevel adds faults to a document whose flattened definition needs a higher Pod Security level than the
// operator allows for its source.
func (l *loader) checkLevel(p *loaded) {
	kind := p.document.Origin.Kind
	if p.flat.security.level != podrules.Privileged || l.rules.privileged(kind) {
		return
	}
	p.fail(p.nameLine, fmt.Errorf("needs the Pod Security level privileged, which a definition in a %s may not: %s",
		kind.singular(), l.rules.advice(kind)))
	for _, violation := range p.flat.security.violations {
		if slices.Contains(p.security.violations, violation) {
			p.fail(p.nameLine, fmt.Errorf("violates the Pod Security level baseline: %s", violation))
			continue
		}
		detail := fmt.Sprintf("with what it inherits from %q: %s", p.inherits, violation)
		p.fail(p.inheritsLine, field.Forbidden(field.NewPath("inherits"), detail))
	}
}
