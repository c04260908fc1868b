package params

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Declaration is a parameter as it is written in a definition.
type Declaration struct {
	Type    Type     `json:"type,omitempty"`
	Default *Scalar  `json:"default,omitempty"`
	Pattern string   `json:"pattern,omitempty"`
	Enum    []Scalar `json:"enum,omitempty"`
	Min     *Scalar  `json:"min,omitempty"`
	Max     *Scalar  `json:"max,omitempty"`
	From    string   `json:"from,omitempty"`
}

// Scalar is the text of a string, a number or a boolean.
type Scalar struct {
	text   string
	quoted bool // it is a string
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *Scalar) UnmarshalJSON(content []byte) error {
	content = bytes.TrimSpace(content)
	switch {
	case len(content) > 0 && content[0] == '"':
		s.quoted = true
		return json.Unmarshal(content, &s.text)
	case len(content) > 0 && (content[0] == '{' || content[0] == '['):
		return errors.New("want a string, a number, true or false")
	}
	s.text = string(content)
	return nil
}

func (s *Scalar) String() string {
	if s == nil {
		return ""
	}
	return s.text
}

// Parameter returns the parameter, which is not compiled. It omits what Validate rejects.
func (d *Declaration) Parameter(name string) Parameter {
	p := Parameter{Name: name, Type: d.Type, Pattern: d.Pattern, Min: d.Min.String(), Max: d.Max.String()}
	if d.Type == "" {
		p.Type = String
	}
	if d.Default != nil {
		p.Default = &d.Default.text
	}
	for i := range d.Enum {
		p.Enum = append(p.Enum, d.Enum[i].text)
	}
	if d.From != "" {
		p.From, _ = parsePodField(unwrapped(d.From))
	}
	return p
}

// unwrapped returns pod.name for `${pod.name}`.
func unwrapped(from string) string {
	inner, found := strings.CutPrefix(from, "${")
	if !found {
		return from
	}
	return strings.TrimSuffix(inner, "}")
}

// Work returns the number of instructions that the pattern compiles to, and how many bytes of the
// declaration are matched against it. Both are zero if there is no valid pattern.
func (d *Declaration) Work() (instructions, matched int) {
	if d.Pattern == "" || len(d.Enum) > maxEnum {
		return 0, 0
	}
	instructions, err := patternInstructions(d.Pattern)
	if err != nil {
		return 0, 0
	}
	if d.Default != nil {
		matched += len(d.Default.text) + 1
	}
	for i := range d.Enum {
		matched += len(d.Enum[i].text) + 1
	}
	return instructions, matched
}

// maxName leaves room for `param.` in the name of an annotation, which has 63 bytes.
const maxName = 63 - len("param.")

var nameFormat = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_]*[A-Za-z0-9])?$`)

// Validate returns the faults of the declaration. They have no values of it.
func (d *Declaration) Validate(path *field.Path, name string) field.ErrorList {
	var faults field.ErrorList
	if !nameFormat.MatchString(name) || len(name) > maxName {
		faults = append(faults, invalid(path, "must be up to 57 letters, digits, '-' and '_', "+
			"beginning and ending with a letter or digit"))
	}
	p := d.Parameter(name)
	if types := []Type{Bool, Int, Quantity, String}; !slices.Contains(types, p.Type) {
		return append(faults, field.NotSupported(path.Child("type"), p.Type, types))
	}
	rules := d.validateQuotes(path, p.Type)
	rules = append(rules, p.validatePattern(path.Child("pattern"))...)
	if d.From != "" {
		if _, err := parsePodField(unwrapped(d.From)); err != nil {
			rules = append(rules, invalid(path.Child("from"), err.Error()))
		}
	}
	if d.Enum != nil && len(d.Enum) == 0 {
		rules = append(rules, field.Required(path.Child("enum"), "no value is allowed: omit it to allow all"))
	}
	if len(d.Enum) > maxEnum {
		rules = append(rules, field.TooMany(path.Child("enum"), len(d.Enum), maxEnum))
	}
	rules = append(rules, p.Type.validateBound(path.Child("min"), p.Min)...)
	rules = append(rules, p.Type.validateBound(path.Child("max"), p.Max)...)
	if rules == nil {
		rules = p.validateValues(path)
	}
	return append(faults, rules...)
}

func invalid(path *field.Path, detail string) *field.Error {
	return field.Invalid(path, field.OmitValueType{}, detail)
}

// validateQuotes requires quotes for values of a string that YAML reads as another type and would
// spell differently: no is false, and 007 is 7.
func (d *Declaration) validateQuotes(path *field.Path, t Type) field.ErrorList {
	if t != String {
		return nil
	}
	const detail = "is not a string in YAML: put it in quotes, or set the type of the parameter"
	var faults field.ErrorList
	if d.Default != nil && !d.Default.quoted {
		faults = append(faults, invalid(path.Child("default"), detail))
	}
	for i := range d.Enum {
		if !d.Enum[i].quoted {
			faults = append(faults, invalid(path.Child("enum").Index(i), detail))
		}
	}
	return faults
}

// validatePattern compiles the pattern.
func (p *Parameter) validatePattern(path *field.Path) field.ErrorList {
	if p.Pattern != "" && p.Type != String {
		return field.ErrorList{field.Forbidden(path, "only with type string")}
	}
	if err := p.Compile(); err != nil {
		return field.ErrorList{invalid(path, err.Error())}
	}
	return nil
}

// validateBound validates min or max, which is empty if there is none.
func (t Type) validateBound(path *field.Path, bound string) field.ErrorList {
	if bound == "" {
		return nil
	}
	if t != Int && t != Quantity {
		return field.ErrorList{field.Forbidden(path, "only with type int or quantity")}
	}
	if err := t.check(bound); err != nil {
		return field.ErrorList{invalid(path, err.Error())}
	}
	return nil
}

// validateValues validates the bounds, the default and the enum of a parameter whose other rules are
// valid.
func (p *Parameter) validateValues(path *field.Path) field.ErrorList {
	var faults field.ErrorList
	if p.Min != "" && p.Max != "" && p.Type.compare(p.Min, p.Max) > 0 {
		faults = append(faults, invalid(path.Child("max"), "is less than min"))
	}
	for i, value := range p.Enum {
		if broken := p.brokenExceptEnum(value); broken != noRule {
			faults = append(faults, invalid(path.Child("enum").Index(i), string(broken)))
		}
	}
	if p.Default != nil {
		if broken := p.broken(*p.Default); broken != noRule {
			faults = append(faults, invalid(path.Child("default"), string(broken)))
		}
	}
	return faults
}
