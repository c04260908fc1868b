package conf

import (
	"maps"
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// mostParameterName leaves room for `param.` in the name of an annotation, which has 63.
const mostParameterName = 63 - len("param.")

// mostParameters is how many a definition may have.
const mostParameters = 100

var parameterName = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_]*[A-Za-z0-9])?$`)

func validateParameters(path *field.Path, parameters map[string]parameter) field.ErrorList {
	if len(parameters) > mostParameters {
		return field.ErrorList{field.TooMany(path, len(parameters), mostParameters)}
	}
	var faults field.ErrorList
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		p := parameters[name]
		at := member(path, name)
		if !parameterName.MatchString(name) || len(name) > mostParameterName {
			faults = append(faults, field.Invalid(at, name, "want up to 57 letters, digits, '-' and '_', beginning and ending with a letter or digit"))
		}
		made := p.compiled(name)
		faults = append(faults, p.validate(at, &made)...)
	}
	return faults
}

// validate checks the parameter; made is what compiled has made of it.
func (p *parameter) validate(path *field.Path, made *Parameter) field.ErrorList {
	if types := parameterTypes(); !slices.Contains(types, made.Type) {
		return field.ErrorList{field.NotSupported(path.Child("type"), made.Type, types)}
	}
	faults := p.validateQuotes(path, made.Type)
	faults = append(faults, made.compile(path.Child("pattern"))...)
	if p.From != "" {
		if _, err := parsePodField(unwrapped(p.From)); err != nil {
			faults = append(faults, field.Invalid(path.Child("from"), field.OmitValueType{}, err.Error()))
		}
	}
	if p.Enum != nil && len(p.Enum) == 0 {
		faults = append(faults, field.Required(path.Child("enum"), "no value is allowed: leave it out to allow all"))
	}
	if len(p.Enum) > maxEnum {
		faults = append(faults, field.TooMany(path.Child("enum"), len(p.Enum), maxEnum))
	}
	faults = append(faults, made.Type.validateBound(path.Child("min"), made.Min)...)
	faults = append(faults, made.Type.validateBound(path.Child("max"), made.Max)...)
	if faults != nil {
		return faults
	}
	return validateValues(path, made)
}

func parameterTypes() []ParameterType {
	return []ParameterType{BoolParameter, IntParameter, QuantityParameter, StringParameter}
}

// validateQuotes wants the values of a string in quotes where YAML takes them for something else,
// and would spell it differently: no is false, and 007 is 7.
func (p *parameter) validateQuotes(path *field.Path, t ParameterType) field.ErrorList {
	if t != StringParameter {
		return nil
	}
	var faults field.ErrorList
	check := func(at *field.Path, value *scalar) {
		if !value.quoted {
			faults = append(faults, field.Invalid(at, value.text, "is not a string to YAML: put it in quotes, or give the parameter another type"))
		}
	}
	if p.Default != nil {
		check(path.Child("default"), p.Default)
	}
	for i := range p.Enum {
		check(path.Child("enum").Index(i), &p.Enum[i])
	}
	return faults
}

// compile compiles the pattern.
func (p *Parameter) compile(path *field.Path) field.ErrorList {
	if p.Pattern == "" {
		return nil
	}
	if p.Type != StringParameter {
		return field.ErrorList{field.Forbidden(path, "only with type string")}
	}
	var err error
	if p.pattern, err = compilePattern(p.Pattern); err != nil {
		return field.ErrorList{field.Invalid(path, field.OmitValueType{}, err.Error())}
	}
	return nil
}

// validateBound checks min or max, which is empty if there is none.
func (t ParameterType) validateBound(path *field.Path, bound string) field.ErrorList {
	if bound == "" {
		return nil
	}
	if t != IntParameter && t != QuantityParameter {
		return field.ErrorList{field.Forbidden(path, "only with type int or quantity")}
	}
	if err := t.check(bound); err != nil {
		return field.ErrorList{field.Invalid(path, bound, err.Error())}
	}
	return nil
}

// validateValues checks the values that the definition has itself.
func validateValues(path *field.Path, made *Parameter) field.ErrorList {
	var faults field.ErrorList
	if made.Min != "" && made.Max != "" && made.Type.compare(made.Min, made.Max) > 0 {
		faults = append(faults, field.Invalid(path.Child("max"), made.Max, "is less than min"))
	}
	check := func(at *field.Path, why rule) {
		if why != noRule {
			faults = append(faults, field.Invalid(at, field.OmitValueType{}, string(why)))
		}
	}
	for i, value := range made.Enum {
		check(path.Child("enum").Index(i), made.unusable(value))
	}
	if made.Default != nil {
		check(path.Child("default"), made.broken(*made.Default))
	}
	return faults
}
