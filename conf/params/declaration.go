package params

import (
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// maxName leaves room for `param.` in the name of an annotation, which has 63 bytes.
const maxName = 63 - len("param.")

var nameFormat = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_]*[A-Za-z0-9])?$`)

// Validate compiles a parameter as it is declared, and returns its faults. They may have its rules, but
// not its default.
func (p *Parameter) Validate(path *field.Path) field.ErrorList {
	var faults field.ErrorList
	if !nameFormat.MatchString(p.Name) || len(p.Name) > maxName {
		faults = append(faults, invalid(path, "must be up to 57 letters, digits, '-' and '_', "+
			"beginning and ending with a letter or digit"))
	}
	if types := []Type{Bool, Int, Quantity, String}; !slices.Contains(types, p.Type) {
		return append(faults, field.NotSupported(path.Child("type"), p.Type, types))
	}
	rules := p.validateRules(path)
	if rules == nil {
		rules = p.validateValues(path)
	}
	return append(faults, rules...)
}

func invalid(path *field.Path, detail string) *field.Error {
	return field.Invalid(path, field.OmitValueType{}, detail)
}

// validateRules validates the fields on their own.
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

// validateValues validates the bounds, the default and the enum of a parameter whose other rules are
// valid. A string needs quotes if YAML reads it as another type and would spell it differently: no is
// false, and 007 is 7.
func (p *Parameter) validateValues(path *field.Path) field.ErrorList {
	var faults field.ErrorList
	check := func(path *field.Path, value Scalar, err error) {
		switch {
		case p.Type == String && !value.quoted:
			faults = append(faults, invalid(path,
				"is not a string in YAML: put it in quotes, or set the type of the parameter"))
		case err != nil:
			faults = append(faults, invalid(path, err.Error()))
		}
	}
	if p.Min.text != "" && p.Max.text != "" && compare(p.Min.text, p.Max.text) > 0 {
		faults = append(faults, invalid(path.Child("max"), "is less than min"))
	}
	if p.Default != nil {
		check(path.Child("default"), *p.Default, p.Check(p.Default.text))
	}
	for i, value := range p.Enum {
		check(path.Child("enum").Index(i), value, p.checkExceptEnum(value.text))
	}
	return faults
}
