package conf

import (
	"fmt"
	"slices"
	"strings"
	"unique"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"k8s-sidecar-injector/conf/podrules"
)

// podSecurity is the Pod Security level of a definition, and why it is not a stricter one.
type podSecurity struct {
	level      podrules.Level
	violations []string // of the next stricter level
}

// short returns the violations without their details.
func (s podSecurity) short() []string {
	var reasons []string
	for _, violation := range s.violations {
		reason, _, _ := strings.Cut(violation, " (")
		reasons = append(reasons, unique.Make(reason).Value()) // not a part of the long text, which would stay in memory
	}
	return reasons
}

func (h *holder) evaluate(d *definition) podSecurity {
	level, violations := h.standards.Level(&d.Definition)
	return podSecurity{level, violations}
}

// kept returns what later loads need: the details of a privileged definition.
func (s podSecurity) kept() podSecurity {
	if s.level != podrules.Privileged {
		s.violations = nil
	}
	return s
}

// checkLevel adds faults to a document whose flattened definition needs a higher Pod Security level than the
// operator allows for its source.
func (l *loader) checkLevel(p *loaded) {
	kind := p.document.Origin.Kind
	if p.compiled.security.level != podrules.Privileged || l.rules.privileged(kind) {
		return
	}
	p.fail(p.nameLine, fmt.Errorf("needs the Pod Security level privileged, which a definition in a %s may not: %s",
		kind.singular(), l.rules.advice(kind)))
	for _, violation := range p.compiled.security.violations {
		if slices.Contains(p.security.violations, violation) {
			p.fail(p.nameLine, fmt.Errorf("violates the Pod Security level baseline: %s", violation))
			continue
		}
		detail := fmt.Sprintf("with what it inherits from %q: %s", p.inherits, violation)
		p.fail(p.inheritsLine, field.Forbidden(field.NewPath("inherits"), detail))
	}
}
