package conf

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"k8s-sidecar-injector/conf/params"
)

// RenderedSize returns how many bytes of JSON the values take in the rendered sidecar, which has
// parameters. Callers check it before Render if the values are not trusted.
func (s *Sidecar) RenderedSize(values []string) int {
	return params.Size(s.source().texts, values)
}

// Render returns the sidecar with values in the place of its placeholders. They are those of
// Parameters, and have passed their Check. It substitutes them in the decoded definition, which it
// validates and encodes as Load does. The sidecar itself is not changed, and is returned if it has the
// values already. The error is a *RenderError.
func (s *Sidecar) Render(values []string) (*Sidecar, error) {
	if slices.Equal(s.rendered, values) {
		return s, nil
	}
	source := s.source()
	if text := source.emptied(values); text != nil {
		return nil, source.renderError(field.Required(text.Path, "must not be empty"))
	}
	filled, faults := source.fill(values)
	if len(faults) > 0 {
		return nil, source.renderError(faults[0])
	}
	made := *s
	made.rendered, made.forms = values, new(forms)
	made.forms.content.set(made.encode(filled))
	return &made, nil
}

// emptied returns the first text that the values make empty although it must not be, or nil.
func (d *decoded) emptied(values []string) *params.Text {
	for _, text := range d.texts {
		if text.Required && text.Fill(values) == "" {
			return text
		}
	}
	return nil
}

// RenderError is the error about values that make a field invalid.
type RenderError struct {
	// Values are the numbers of the values in the field or, for a rule about several fields, near it.
	// There is at least one.
	Values []int
	// Fault is the path of the field and what is wrong, without the values.
	Fault string
}

func (d *decoded) renderError(fault *field.Error) *RenderError {
	text := shownPath(fault.Field) + ": " + cmp.Or(fault.Detail, fault.Type.String())
	return &RenderError{Values: d.numbersIn(fault.Field), Fault: text}
}

// Error implements error.
func (e *RenderError) Error() string {
	return e.Fault
}
