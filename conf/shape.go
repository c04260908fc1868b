package conf

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// shape checks values that came from YAML against Go types and collects every fault, where
// a decoder would stop at the first. What it found fault with is left out of the value that
// it returns, so that this one always decodes.
type shape struct {
	faults findings
	// bare takes the leaves with holes that become a number or a boolean, by path.
	bare map[string]bool
}

// check returns the value without its faulty parts, or nil if it is faulty itself.
func (s *shape) check(path *field.Path, want reflect.Type, value any) any {
	if value == nil {
		return nil
	}
	for want.Kind() == reflect.Pointer {
		want = want.Elem()
	}
	if stand, ok := value.(standIn); ok {
		return s.checkStandIn(path, want, stand)
	}
	if reflect.PointerTo(want).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return s.checkUnmarshaler(path, want, value)
	}
	switch want.Kind() {
	case reflect.Struct:
		return s.checkStruct(path, want, value)
	case reflect.Slice:
		return s.checkList(path, want, value)
	case reflect.Map:
		return s.checkMap(path, want, value)
	default:
		return s.checkScalar(path, want, value)
	}
}

// checkStandIn gives a leaf with holes the type that its field wants, if the parameter has it.
func (s *shape) checkStandIn(path *field.Path, want reflect.Type, stand standIn) any {
	value := any(stand.text)
	either := want == reflect.TypeFor[intstr.IntOrString]()
	number := want.Kind() >= reflect.Int && want.Kind() <= reflect.Uint64
	switch {
	case want.Kind() == reflect.Bool && stand.isOf(BoolParameter):
		value = stand.text == "true"
		s.bare[leafPath(path.String())] = true
	case (number || either) && stand.isOf(IntParameter):
		value = json.Number(stand.text)
		s.bare[leafPath(path.String())] = true
	case !scalarType(want):
		return s.fault(field.Forbidden(path, "a placeholder can fill only a string, a number or a boolean: "+
			"put placeholders into the list or object instead"))
	case number, want.Kind() == reflect.Bool:
		return s.fault(field.Forbidden(path, wholeOnly(want.Kind())))
	case want == reflect.TypeFor[resource.Quantity]() && !stand.isOf(QuantityParameter) && !stand.isOf(IntParameter):
		return s.fault(field.Forbidden(path, "only a parameter of type quantity or int can stand here, and nothing beside it"))
	}
	return s.check(path, want, value)
}

// scalarType reports whether a single string, number or boolean decodes to the type.
func scalarType(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[intstr.IntOrString](), reflect.TypeFor[resource.Quantity](), reflect.TypeFor[metav1.Time](), reflect.TypeFor[scalar]():
		return true
	}
	switch t.Kind() {
	case reflect.Struct, reflect.Slice, reflect.Map:
		return false
	default:
		return true
	}
}

func (s *standIn) isOf(t ParameterType) bool {
	return s.whole != nil && s.whole.Type == t
}

// wholeOnly tells what can stand in a field that is no string.
func wholeOnly(kind reflect.Kind) string {
	t := IntParameter
	if kind == reflect.Bool {
		t = BoolParameter
	}
	return fmt.Sprintf("only a parameter of type %s can stand here, and nothing beside it", t)
}

// checkUnmarshaler covers the types that decode themselves, such as quantities.
func (s *shape) checkUnmarshaler(path *field.Path, want reflect.Type, value any) any {
	if want == reflect.TypeFor[intstr.IntOrString]() {
		return s.checkIntOrString(path, value)
	}
	text, err := json.Marshal(value)
	if err == nil && want == reflect.TypeFor[resource.Quantity]() && !plausibleQuantity(strings.Trim(string(text), `"`)) {
		err = resource.ErrFormatWrong
	}
	if err == nil {
		err = reflect.New(want).Interface().(json.Unmarshaler).UnmarshalJSON(text)
	}
	if err != nil {
		return s.fault(field.Invalid(path, field.OmitValueType{}, "not a valid "+want.Name()+example(want)))
	}
	return value
}

// example shows what a value of a type looks like, where its decoder only has a pattern.
func example(want reflect.Type) string {
	if want == reflect.TypeFor[resource.Quantity]() {
		return " such as 100m or 64Mi"
	}
	return ""
}

func (s *shape) checkIntOrString(path *field.Path, value any) any {
	switch got := value.(type) {
	case string:
		return got
	case json.Number:
		return s.checkNumber(path, reflect.TypeFor[int32](), got)
	default:
		return s.mistyped(path, "a number or a string", value)
	}
}

func (s *shape) checkStruct(path *field.Path, want reflect.Type, value any) any {
	object, ok := value.(tree)
	if !ok {
		return s.mistyped(path, "an object", value)
	}
	known := jsonFields(want)
	kept := make(tree, len(object))
	for _, key := range slices.Sorted(maps.Keys(object)) {
		member, ok := known[key]
		if !ok {
			s.fault(unknown(keyPath(path, key, object[key] == nil || !looksLikeField(key)), key, known))
			continue
		}
		if v := s.check(child(path, key), member, object[key]); v != nil {
			kept[key] = v
		}
	}
	return kept
}

func (s *shape) checkList(path *field.Path, want reflect.Type, value any) any {
	list, ok := value.([]any)
	if !ok {
		return s.mistyped(path, "a list", value)
	}
	kept := make([]any, len(list))
	for i, element := range list {
		if element == nil {
			s.fault(field.Required(path.Index(i), "the element is null"))
			continue
		}
		kept[i] = s.check(path.Index(i), want.Elem(), element)
	}
	return kept
}

func (s *shape) checkMap(path *field.Path, want reflect.Type, value any) any {
	object, ok := value.(tree)
	if !ok {
		return s.mistyped(path, "an object", value)
	}
	kept := make(tree, len(object))
	for _, key := range slices.Sorted(maps.Keys(object)) {
		if want.Key() == reflect.TypeFor[corev1.ResourceName]() && !validResourceName(key) {
			s.fault(field.Invalid(member(path, key), field.OmitValueType{}, "must be the name of a resource"))
			continue
		}
		value := object[key]
		if value == nil && want.Elem().Kind() == reflect.String {
			value = "" // as Kubernetes decodes null in a map of strings: the key is there
		}
		if v := s.check(member(path, key), want.Elem(), value); v != nil {
			kept[key] = v
		}
	}
	return kept
}

// validResourceName reports whether Kubernetes' validation can calculate with the name of a resource.
// Huge pages have their size in it. It divides by the size, and takes minutes to parse 1e-10000000.
func validResourceName(name string) bool {
	size, huge := strings.CutPrefix(name, corev1.ResourceHugePagesPrefix)
	quantity, err := parseQuantity(size)
	return looksLikeName(name) && (!huge || err == nil && quantity.Value() > 0)
}

func (s *shape) checkScalar(path *field.Path, want reflect.Type, value any) any {
	switch got := value.(type) {
	case string:
		if want.Kind() != reflect.String {
			break
		}
		return got
	case bool:
		if want.Kind() == reflect.Bool {
			return got
		}
	case json.Number:
		if want.Kind() != reflect.String && want.Kind() != reflect.Bool {
			return s.checkNumber(path, want, got)
		}
	}
	return s.mistyped(path, article(want.Kind()), value)
}

func (s *shape) checkNumber(path *field.Path, want reflect.Type, number json.Number) any {
	if want.Kind() == reflect.Float64 || want.Kind() == reflect.Float32 {
		return number
	}
	whole, err := strconv.ParseInt(string(number), 10, 64)
	if err != nil {
		if errors.Is(err, strconv.ErrRange) {
			return s.fault(field.Invalid(path, number, "out of range"))
		}
		// YAML's 1e3 and 8080.0 are whole numbers too, but no decoder of the API takes them.
		return s.fault(field.TypeInvalid(path, number, "must be a whole number"))
	}
	if reflect.Zero(want).OverflowInt(whole) {
		return s.fault(field.Invalid(path, number, "out of range"))
	}
	return number
}

// mistyped tells the kinds only and never the value: it may be that of an env variable.
func (s *shape) mistyped(path *field.Path, want string, value any) any {
	detail := fmt.Sprintf("must be %s, not %s", want, kindOf(value))
	if want == article(reflect.String) {
		switch value.(type) {
		case bool, json.Number:
			detail += ": put it in quotes"
		}
	}
	if text, ok := value.(string); ok && strings.HasPrefix(text, "${") {
		detail += ": there is no parameter of that name"
	}
	return s.fault(field.TypeInvalid(path, field.OmitValueType{}, detail))
}

// fault notes the fault and returns nil, the value that is left.
func (s *shape) fault(err *field.Error) any {
	s.faults.add(err)
	return nil
}

// unknown names the field that was probably meant when only letter case differs, which is
// the commonest slip.
func unknown(path *field.Path, name string, known map[string]reflect.Type) *field.Error {
	for candidate := range known {
		if strings.EqualFold(candidate, name) {
			return field.Forbidden(path, fmt.Sprintf("unknown field: did you mean %q?", candidate))
		}
	}
	return field.Forbidden(path, "unknown field")
}

// jsonFields maps the JSON names of a struct to the types of its fields; embedded structs
// without a name of their own are inlined, as encoding/json does.
func jsonFields(t reflect.Type) map[string]reflect.Type {
	fields := make(map[string]reflect.Type)
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			maps.Copy(fields, jsonFields(f.Type))
		case name != "" && name != "-":
			fields[name] = f.Type
		}
	}
	return fields
}

func kindOf(value any) string {
	switch value.(type) {
	case string, standIn:
		return article(reflect.String)
	case bool:
		return article(reflect.Bool)
	case json.Number:
		return "a number"
	case []any:
		return "a list"
	case nil:
		return "null"
	default:
		return "an object"
	}
}

func article(kind reflect.Kind) string {
	switch kind {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	default:
		return "a number"
	}
}
