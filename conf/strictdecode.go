package conf

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"k8s-sidecar-injector/conf/params"
)

// decoder checks a value that came from YAML against Go types. It collects every fault, where
// encoding/json would stop at the first one.
type decoder struct {
	faults field.ErrorList
	// scope resolves placeholders. Nil means that the value has none.
	scope *params.Scope
	// texts are the strings with placeholders.
	texts []*params.Text
	// unresolved are warnings about placeholders of unknown names.
	unresolved field.ErrorList
	// steps are the keys and indexes on the way to the current value.
	steps []string
}

// decode returns the value without its faulty parts, so that encoding/json can decode it, and with a
// *params.Text in the place of each string that has placeholders. It returns nil if the value itself
// is faulty.
func (d *decoder) decode(path *field.Path, want reflect.Type, value any) any {
	if value == nil {
		return nil
	}
	for want.Kind() == reflect.Pointer {
		want = want.Elem()
	}
	if text, ok := value.(string); ok && d.scope != nil && params.HasPlaceholders(text) {
		return d.decodePlaceholders(path, want, text)
	}
	return d.decodeAs(path, want, value)
}

func (d *decoder) decodeAs(path *field.Path, want reflect.Type, value any) any {
	if reflect.PointerTo(want).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return d.decodeUnmarshaler(path, want, value)
	}
	kind := want.Kind()
	switch got := value.(type) {
	case tree:
		switch kind { //nolint:exhaustive // the others are not objects
		case reflect.Struct:
			return d.decodeStruct(path, want, got)
		case reflect.Map:
			return d.decodeMap(path, want, got)
		}
	case []any:
		if kind == reflect.Slice {
			return d.decodeList(path, want, got)
		}
	case json.Number:
		if kind >= reflect.Int && kind <= reflect.Float64 {
			return d.decodeNumber(path, want, got)
		}
	default:
		if kind == reflect.TypeOf(value).Kind() {
			return value
		}
	}
	return d.mistyped(path, kindName(kind), value)
}

// descend decodes a member or an element.
func (d *decoder) descend(step string, path *field.Path, want reflect.Type, value any) any {
	d.steps = append(d.steps, step)
	decoded := d.decode(path, want, value)
	d.steps = d.steps[:len(d.steps)-1]
	return decoded
}

// decodeUnmarshaler covers the types that decode themselves, such as quantities.
func (d *decoder) decodeUnmarshaler(path *field.Path, want reflect.Type, value any) any {
	if want == reflect.TypeFor[intstr.IntOrString]() {
		return d.decodeIntOrString(path, value)
	}
	what := strings.ToLower(want.Name())
	text, err := json.Marshal(value)
	if err == nil && want == reflect.TypeFor[resource.Quantity]() {
		what += " such as 100m or 64Mi" // its own error has only a pattern
		_, err = params.ParseQuantity(strings.Trim(string(text), `"`))
	}
	if err == nil {
		err = reflect.New(want).Interface().(json.Unmarshaler).UnmarshalJSON(text)
	}
	if err != nil && want == reflect.TypeFor[params.Scalar]() {
		return d.mistyped(path, "a string, a number or a boolean", value)
	}
	if err != nil {
		return d.fault(field.Invalid(path, field.OmitValueType{}, "not a valid "+what))
	}
	return value
}

func (d *decoder) decodeIntOrString(path *field.Path, value any) any {
	switch got := value.(type) {
	case string:
		return got
	case json.Number:
		return d.decodeNumber(path, reflect.TypeFor[int32](), got)
	default:
		return d.mistyped(path, "a number or a string", value)
	}
}

func (d *decoder) decodeStruct(path *field.Path, want reflect.Type, object tree) any {
	known := fieldsOfStruct(want)
	kept := make(tree, len(object))
	for _, key := range sortedKeys(object) {
		member, ok := known[key]
		if !ok {
			at := keyPath(path, key, object[key] == nil || !fieldPattern.MatchString(key))
			if len(d.faults) >= mostFaults { // it is only counted
				known = nil
			}
			d.fault(unknown(at, key, want, known))
			continue
		}
		if v := d.descend(key, path.Child(key), member, object[key]); v != nil || object[key] == nil {
			kept[key] = v
		}
	}
	_, isText := kept["value"].(*params.Text)
	if isText && kept["valueFrom"] != nil && want == reflect.TypeFor[corev1.EnvVar]() {
		d.fault(field.Forbidden(path.Child("value"), "may not have placeholders together with valueFrom"))
	}
	return kept
}

func (d *decoder) decodeList(path *field.Path, want reflect.Type, list []any) any {
	kept := make([]any, len(list))
	for i, element := range list {
		if element == nil {
			d.fault(field.Required(path.Index(i), "the element is null"))
			continue
		}
		kept[i] = d.descend(strconv.Itoa(i), path.Index(i), want.Elem(), element)
	}
	return kept
}

func (d *decoder) decodeMap(path *field.Path, want reflect.Type, object tree) any {
	kept := make(tree, len(object))
	for _, key := range sortedKeys(object) {
		if want.Key() == reflect.TypeFor[corev1.ResourceName]() && !validResourceName(key) {
			d.fault(field.Invalid(member(path, key), field.OmitValueType{}, "must be the name of a resource"))
			continue
		}
		value := object[key]
		if value == nil && want.Elem().Kind() == reflect.String {
			value = "" // as Kubernetes decodes null in a map of strings: the key is there
		}
		if value == nil {
			d.fault(field.Required(member(path, key), "the value is null"))
			continue
		}
		if v := d.descend(key, member(path, key), want.Elem(), value); v != nil {
			kept[key] = v
		}
	}
	return kept
}

// validResourceName reports whether Kubernetes' validation can calculate with the name of a resource.
// Huge pages have their size in it. It divides by the size, and takes minutes to parse 1e-10000000.
func validResourceName(name string) bool {
	size, huge := strings.CutPrefix(name, corev1.ResourceHugePagesPrefix)
	quantity, err := params.ParseQuantity(size)
	return looksLikeName(name) && (!huge || err == nil && quantity.Value() > 0)
}

func (d *decoder) decodeNumber(path *field.Path, want reflect.Type, number json.Number) any {
	if want.Kind() == reflect.Float64 || want.Kind() == reflect.Float32 {
		return number
	}
	whole, err := strconv.ParseInt(string(number), 10, 64)
	if err != nil {
		if errors.Is(err, strconv.ErrRange) {
			return d.fault(field.Invalid(path, number, "out of range"))
		}
		// In YAML, 1e3 and 8080.0 are whole numbers too, but the API server rejects them.
		return d.fault(field.TypeInvalid(path, number, "must be a whole number"))
	}
	if reflect.Zero(want).OverflowInt(whole) {
		return d.fault(field.Invalid(path, number, "out of range"))
	}
	return number
}

// mistyped adds a fault that names the types and not the value, which may be that of an env variable.
func (d *decoder) mistyped(path *field.Path, want string, value any) any {
	detail := fmt.Sprintf("must be %s, not %s", want, kindOf(value))
	if text, ok := value.(string); ok && strings.HasPrefix(text, "${") {
		detail += ": there is no parameter of that name"
	}
	return d.fault(field.TypeInvalid(path, field.OmitValueType{}, detail))
}

// fault adds the fault and returns nil, the value that is left.
func (d *decoder) fault(err *field.Error) any {
	d.faults = append(d.faults, err)
	return nil
}
