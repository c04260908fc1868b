package conf

import (
	"maps"
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// mostParameterName leaves room for `param.` in the name of an annotation, which has 63.
const mostParameterName = 63 - len("param.")

func validateParameters(path *field.Path, parameters map[string]parameter) field.ErrorList {
	var faults field.ErrorList
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		p := parameters[name]
		at := path.Key(name)
		if !regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_]*[A-Za-z0-9])?$`).MatchString(name) || len(name) > mostParameterName {
			faults = append(faults, field.Invalid(at, name, "want up to 57 letters, digits, '-' and '_', beginning and ending with a letter or digit"))
		}
		faults = append(faults, p.validate(at, p.compiled(name))...)
	}
	return faults
}

// validate checks the parameter; made is what compiled has made of it.
func (p *parameter) validate(path *field.Path, made Parameter) field.ErrorList {
	var faults field.ErrorList
	bounded := made.Type == IntParameter || made.Type == QuantityParameter
	if p.Pattern != "" {
		if made.Type != StringParameter {
			faults = append(faults, field.Forbidden(path.Child("pattern"), "only with type string"))
		}
		if _, err := regexp.Compile(p.Pattern); err != nil {
			faults = append(faults, field.Invalid(path.Child("pattern"), p.Pattern, err.Error()))
		}
	}
	if p.From != "" {
		if _, err := parsePodField(unwrapped(p.From)); err != nil {
			faults = append(faults, field.Invalid(path.Child("from"), p.From, err.Error()))
		}
	}
	if p.Enum != nil && len(p.Enum) == 0 {
		faults = append(faults, field.Required(path.Child("enum"), "no value is allowed: leave it out to allow all"))
	}
	for _, bound := range []struct {
		name, value string
	}{{"min", made.Min}, {"max", made.Max}} {
		if bound.value == "" {
			continue
		}
		if !bounded {
			faults = append(faults, field.Forbidden(path.Child(bound.name), "only with type int or quantity"))
		} else if err := made.Type.check(bound.value); err != nil {
			faults = append(faults, field.Invalid(path.Child(bound.name), bound.value, err.Error()))
		}
	}
	if faults != nil {
		return faults
	}
	return p.validateValues(path, made)
}

// validateValues checks the values that the definition has itself.
func (p *parameter) validateValues(path *field.Path, made Parameter) field.ErrorList {
	var faults field.ErrorList
	if made.Min != "" && made.Max != "" && made.Type.compare(made.Min, made.Max) > 0 {
		faults = append(faults, field.Invalid(path.Child("max"), made.Max, "is less than min"))
	}
	for i, value := range made.Enum {
		if err := made.Check(value); err != nil {
			faults = append(faults, field.Invalid(path.Child("enum").Index(i), value, err.Error()))
		}
	}
	if made.Default != nil {
		if err := made.Check(*made.Default); err != nil {
			faults = append(faults, field.Invalid(path.Child("default"), *made.Default, err.Error()))
		}
	}
	return faults
}
