package params

import (
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// maxName leaves room for the prefix `param.` in the key of an annotation, whose name part has at most
// 63 bytes.
const maxName = 63 - len("param.")

var nameFormat = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_]*[A-Za-z0-9])?$`)

// Validate validates the declaration, and compiles its pattern. Faults may quote the pattern, the bounds
// and the enum, but not the default.
func (p *Parameter) Validate(path *field.Path) field.ErrorList {
	var faults field.ErrorList
	if !nameFormat.MatchString(p.Name) || len(p.Name) > maxName {
		faults = append(faults, invalid(path, "must be up to 57 letters, digits, '-' and '_', "+
			"beginning and ending with a letter or digit"))
	}
	if types := []Type{Bool, Int, Quantity, String}; !slices.Contains(types, p.Type) {
		return append(faults, field.NotSupported(path.Child("type"), p.Type, types))
	}
	more := p.validateRules(path)
	if more == nil {
		more = p.validateValues(path)
	}
	return append(faults, more...)
}

func invalid(path *field.Path, detail string) *field.Error {
	return field.Invalid(path, field.OmitValueType{}, detail)
}

// validateRules validates each rule for itself: pattern, from, the size of the enum, min and max.
func (p *Parameter) validateRules(path *field.Path) field.ErrorList {
	var faults field.ErrorList
	check := func(name string, err error) {
		if err != nil {
			faults = append(faults, invalid(path.Child(name), err.Error()))
		}
	}
	if p.Pattern != "" && p.Type != String {
		faults = append(faults, field.Forbidden(path.Child("pattern"), "only with type string"))
	}
	check("pattern", p.Compile())
	if p.From != "" {
		check("from", p.From.validate())
	}
	if p.Enum != nil && len(p.Enum) == 0 {
		faults = append(faults, field.Required(path.Child("enum"), "no value is allowed: omit it to allow all"))
	}
	if len(p.Enum) > maxEnum {
		faults = append(faults, field.TooMany(path.Child("enum"), len(p.Enum), maxEnum))
	}
	checkBound := func(name string, bound Scalar) {
		switch {
		case bound.text == "":
		case p.Type != Int && p.Type != Quantity:
			faults = append(faults, field.Forbidden(path.Child(name), "only with type int or quantity"))
		default:
			check(name, p.Type.check(bound.text))
		}
	}
	checkBound("min", p.Min)
	checkBound("max", p.Max)
	return faults
}

// validateValues validates the default and the values of the enum against the rules, which are valid,
// and min against max.
func (p *Parameter) validateValues(path *field.Path) field.ErrorList {
	var faults field.ErrorList
	check := func(path *field.Path, err error) {
		if err != nil {
			faults = append(faults, invalid(path, err.Error()))
		}
	}
	if p.Min.text != "" && p.Max.text != "" && compare(p.Min.text, p.Max.text) > 0 {
		faults = append(faults, invalid(path.Child("max"), "is less than min"))
	}
	if p.Default != nil {
		check(path.Child("default"), p.Check(p.Default.text))
	}
	for i, value := range p.Enum {
		check(path.Child("enum").Index(i), p.checkExceptEnum(value.text))
	}
	return faults
}
