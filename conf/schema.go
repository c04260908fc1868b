package conf

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// unknown returns the fault of an unknown field. It suggests the nearest field.
func unknown(path *field.Path, name string, known map[string]reflect.Type) *field.Error {
	if nearest := Nearest(name, maps.Keys(known)); nearest != "" {
		return field.Forbidden(path, fmt.Sprintf("unknown field: did you mean %q?", nearest))
	}
	return field.Forbidden(path, "unknown field")
}

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
