package conf

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// unknown returns the fault of an unknown field of a type. It suggests the nearest field, or the place of the field.
func unknown(path *field.Path, name string, of reflect.Type, known map[string]reflect.Type) *field.Error {
	detail := "unknown field"
	if nearest := nearestField(name, known); nearest != "" {
		detail += fmt.Sprintf(": did you mean %q?", nearest)
	} else if known != nil {
		detail += misplaced(name, of)
	}
	return field.Forbidden(path, detail)
}

// nearestField returns the field that a misspelled name or a part of a name stands for, or an empty string. The part
// is at least half of the name, and no other field has it.
func nearestField(name string, known map[string]reflect.Type) string {
	if nearest := Nearest(name, maps.Keys(known)); nearest != "" {
		return nearest
	}
	var whole []string
	part := strings.ToLower(name)
	for candidate := range known {
		if strings.Contains(strings.ToLower(candidate), part) {
			whole = append(whole, candidate)
		}
	}
	if len(whole) == 1 && len(whole[0]) <= 2*len(part) {
		return whole[0]
	}
	return ""
}

// misplaced returns where a field belongs that is on the wrong level, or an empty string.
func misplaced(name string, in reflect.Type) string {
	container, top := reflect.TypeFor[corev1.Container](), reflect.TypeFor[definition]()
	switch {
	case in == container && fieldsOfStruct(top)[name] != nil:
		return ": it belongs to the top level of the definition"
	case in == top && fieldsOfStruct(container)[name] != nil:
		return ": it belongs to a container"
	}
	return ""
}

// format has the fields of each struct in a definition. It is computed once, because reflection is slow.
//
//nolint:gochecknoglobals // never written to
var format = sync.OnceValue(func() map[reflect.Type]map[string]reflect.Type {
	structs := make(map[reflect.Type]map[string]reflect.Type)
	addStructs(structs, reflect.TypeFor[definition]())
	return structs
})

// addStructs adds the structs that a value of the type may have.
func addStructs(structs map[reflect.Type]map[string]reflect.Type, t reflect.Type) {
	switch t.Kind() { //nolint:exhaustive // the others have no structs
	case reflect.Pointer, reflect.Slice, reflect.Map:
		addStructs(structs, t.Elem())
	case reflect.Struct:
		if structs[t] != nil || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
			return // types that decode themselves, such as quantities, have other fields
		}
		structs[t] = jsonFields(t)
		for _, field := range structs[t] {
			addStructs(structs, field)
		}
	}
}

// fieldsOfStruct returns the types of the fields of a struct in a definition, by JSON name.
func fieldsOfStruct(t reflect.Type) map[string]reflect.Type { return format()[t] }

// jsonFields returns the types of the fields of a struct by JSON name. Like encoding/json, it inlines
// embedded structs without a name.
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

// kindOf returns what a decoded value is.
func kindOf(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case json.Number:
		return kindName(reflect.Int)
	}
	return kindName(reflect.TypeOf(value).Kind())
}

func kindName(kind reflect.Kind) string {
	switch kind {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	default:
		return "a number"
	}
}
