package conf

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"k8s-sidecar-injector/conf/params"
)

// maxParameters is how many parameters a definition may have.
const maxParameters = 100

// decoded is a definition after strict decoding. validate finds its faults: fill substitutes values of the parameters,
// decodes the result as Go types and validates these. If a parameter has no default, doubt decides which faults any
// value would cause.
type decoded struct {
	// tree has neither the parameters nor faulty parts. Strings with placeholders are *params.Text.
	tree       tree
	text       []byte // the tree as JSON; nil if it is not known, or if the tree has placeholders
	scope      *params.Scope
	texts      []*params.Text
	faults     field.ErrorList
	unresolved field.ErrorList // see decoder
}

// decodeFlat decodes a definition whose parts have been decoded before. It is fast without parameters.
func decodeFlat(flat tree) *decoded {
	if flat["parameters"] == nil && !mayHavePlaceholders(flat) {
		return &decoded{tree: flat, scope: params.NewScope(nil)}
	}
	return decodeDefinition(flat)
}

func mayHavePlaceholders(value any) bool {
	switch value := value.(type) {
	case tree:
		for _, member := range value {
			if mayHavePlaceholders(member) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(value, mayHavePlaceholders)
	case string:
		return params.HasPlaceholders(value)
	}
	return false
}

// keepText keeps the JSON of the definition from which the tree was decoded, unless the tree differs from it because of
// placeholders or faults.
func (d *decoded) keepText(text []byte) {
	if len(d.texts)+len(d.faults) == 0 {
		d.text = text
	}
}

// decodeDefinition decodes a definition, which is not changed. Parameters with faults are in scope too.
func decodeDefinition(written tree) *decoded {
	rest := maps.Clone(written)
	delete(rest, "parameters")
	var d decoder
	format := reflect.TypeFor[map[string]params.Parameter]()
	declared := d.decode(field.NewPath("parameters"), format, written["parameters"])
	var parameters map[string]params.Parameter
	if own, err := typed(tree{"parameters": declared}); err == nil {
		parameters = own.Parameters
	}
	d.scope = params.NewScope(parameters)
	kept, _ := d.decode(nil, reflect.TypeFor[definition](), rest).(tree)
	return &decoded{tree: kept, scope: d.scope, texts: d.texts, faults: d.faults, unresolved: d.unresolved}
}

// filling is a definition with values, as a tree and as Go types.
type filling struct {
	tree  tree
	typed *definition
}

// validate returns the definition with the defaults of its parameters, and its faults that do not
// follow from the known ones. Where a parameter has no default, only faults that every value causes
// count: the others are found when a pod has a value. The same holds if the validation of more values
// is not affordable.
func (d *decoded) validate(known field.ErrorList, affordable func() bool) (filling, field.ErrorList) {
	faults := unlessBelow(known, validateParameters(d.scope.Declared()))
	filled, found := d.fill(d.scope.Samples(0))
	found = unlessBelow(slices.Concat(known, faults), found)
	certain, doubtful := d.doubt(found)
	for round := 1; len(doubtful) > 0 && round < d.scope.Rounds(); round++ {
		if !affordable() {
			doubtful = nil
			break
		}
		_, others := d.fill(d.scope.Samples(round))
		fields := make(map[string]bool, len(others))
		for _, fault := range others {
			fields[fault.Field] = true
		}
		doubtful = slices.DeleteFunc(doubtful, func(fault *field.Error) bool { return !fields[fault.Field] })
	}
	return filled, slices.Concat(faults, certain, doubtful)
}

// validateParameters compiles the parameters, and returns their faults.
func validateParameters(declared []params.Parameter) field.ErrorList {
	path := field.NewPath("parameters")
	if len(declared) > maxParameters {
		return field.ErrorList{field.TooMany(path, len(declared), maxParameters)}
	}
	var faults field.ErrorList
	for i := range declared {
		p := &declared[i]
		faults = append(faults, p.Validate(member(path, p.Name))...)
	}
	return faults
}

// fill returns the definition with the values, and its faults.
func (d *decoded) fill(values []string) (filling, field.ErrorList) {
	if params.Size(d.texts, values) > params.MaxSize {
		detail := fmt.Sprintf("the defaults of parameters take more than %d KiB in all places", params.MaxSize>>10)
		return filling{typed: new(definition)}, field.ErrorList{field.Forbidden(field.NewPath("parameters"), detail)}
	}
	filled, faults, err := d.substitute(values)
	if err != nil {
		return filling{typed: new(definition)}, field.ErrorList{field.InternalError(field.NewPath("definition"), err)}
	}
	return filled, append(faults, unlessBelow(faults, validate(filled.typed))...)
}

// substitute returns the definition with the values, without those that do not have the type of their field. They are
// faults.
func (d *decoded) substitute(values []string) (filling, field.ErrorList, error) {
	if d.text != nil {
		if result, err := typedJSON(d.text); err == nil { // otherwise, below, with the faults of its fields
			return filling{d.tree, result}, nil, nil
		}
	}
	filled := d.tree
	if len(d.texts) > 0 {
		filled, _ = params.Substitute(d.tree, values).(tree)
	}
	result, err := typed(filled)
	if err == nil {
		return filling{filled, result}, nil, nil
	}
	var check decoder // unlike encoding/json, it reports the field
	filled, _ = check.decode(nil, reflect.TypeFor[definition](), filled).(tree)
	result, err = typed(filled)
	return filling{filled, result}, check.faults, err
}

// doubt separates the faults that other values of parameters without a default may avoid. It drops
// those for which samples cannot prove that there is no such value.
func (d *decoded) doubt(faults field.ErrorList) (certain, doubtful field.ErrorList) {
	if len(faults) == 0 {
		return nil, nil
	}
	unknown, undecidable := make(map[string]bool), make(map[string]bool)
	for _, text := range d.texts {
		if len(d.scope.Unknown(text)) == 0 {
			continue
		}
		path := text.Path.String()
		undecidable[path] = d.scope.Undecidable(text)
		for at := withoutIndexes(path); at != "" && !unknown[at]; at = parent(at) {
			unknown[at] = true
		}
	}
	for _, fault := range faults {
		switch {
		case fault.Type == field.ErrorTypeForbidden: // not because of a value
			certain = append(certain, fault)
		case undecidable[fault.Field]:
		case unknown[withoutIndexes(fault.Field)]:
			doubtful = append(doubtful, fault)
		default:
			certain = append(certain, fault)
		}
	}
	return certain, doubtful
}

var indexes = regexp.MustCompile(`\[\d+\]`)

// withoutIndexes returns a field path without what validation may report at another element: it omits
// indexes of lists, and compares resource requests with limits.
func withoutIndexes(path string) string {
	return strings.Replace(indexes.ReplaceAllString(path, ""), ".resources.requests[", ".resources.limits[", 1)
}

// parent returns the path of the field that contains the field.
func parent(path string) string {
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}

// numbersIn returns the numbers of the values in the field. If there are none, it returns those in the
// nearest field around it.
func (d *decoded) numbersIn(path string) []int {
	for ; ; path = parent(path) {
		var numbers []int
		for _, text := range d.texts {
			if path == "" || below(path, text.Path.String()) {
				numbers = append(numbers, text.Numbers...)
			}
		}
		if numbers != nil || path == "" {
			slices.Sort(numbers)
			return slices.Compact(numbers)
		}
	}
}
