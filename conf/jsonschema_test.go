package conf_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/conf/params"
)

// schema is a JSON Schema, or a part of one.
type schema = map[string]any

// A value that is not a string may be one placeholder. Kubernetes' parser reads some words as booleans that editors,
// which follow YAML 1.2, read as strings.
const (
	onePlaceholder = `^\$\{[^{}]+\}$`
	anyPlaceholder = `\$\{[^{}]+\}`
	oldBooleans    = `^([yY]|[yY]es|YES|[nN]|[nN]o|NO|[oO]n|ON|[oO]ff|OFF)$`
	quantity       = `^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$` // of resource.ParseQuantity
)

// schemaWriter makes the schema of the format from its Go types.
type schemaWriter struct {
	enums       map[any][]any // by reflect.Type, or by name for a field of a definition that is a plain string
	docs        fieldDocs
	definitions schema
}

// TestJSONSchema compares the schema with the format. Run go test ./conf -run JSONSchema -update after a change.
func TestJSONSchema(t *testing.T) {
	t.Parallel()
	text := formatSchema(t)
	compareGolden(t, "sidecar.schema.json", string(text))
	validator := newSchemaValidator(t, text)
	acceptsValid(t, validator)
	rejectsMistakes(t, validator)
}

// formatSchema returns the schema of the format.
func formatSchema(t *testing.T) []byte {
	t.Helper()
	w := schemaWriter{enums: readEnums(t), docs: readFieldDocs(t), definitions: make(schema)}
	root := w.object(conf.Format(), "")
	root["properties"].(schema)["name"].(schema)["type"] = []string{"string", "number", "boolean"} // not null
	root["required"] = []string{"name"}
	root["type"] = "object"
	root["$schema"] = "http://json-schema.org/draft-07/schema#"
	root["title"] = "Sidecar definition of k8s-sidecar-injector"
	root["definitions"] = w.definitions
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(root); err != nil {
		t.Fatal(err)
	}
	return text.Bytes()
}

// of returns the schema of a type. Every value may be null, which is no value.
func (w *schemaWriter) of(t reflect.Type, name string) schema {
	switch t {
	case reflect.TypeFor[resource.Quantity]():
		return schema{"type": []string{"string", "number", "null"}, "pattern": quantity + "|" + anyPlaceholder}
	case reflect.TypeFor[intstr.IntOrString]():
		return schema{"type": []string{"integer", "string", "null"}}
	case reflect.TypeFor[metav1.Time]():
		return schema{"type": []string{"string", "null"}}
	case reflect.TypeFor[params.Scalar]():
		return schema{"type": []string{"string", "number", "boolean", "null"}}
	}
	if t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return schema{} // anything
	}
	switch kind := t.Kind(); kind {
	case reflect.Pointer:
		return w.of(t.Elem(), name)
	case reflect.Struct:
		if w.definitions[t.Name()] == nil {
			w.definitions[t.Name()] = schema{} // ends a recursion
			w.definitions[t.Name()] = w.object(t, t.Name())
		}
		return schema{"$ref": "#/definitions/" + t.Name()}
	case reflect.Slice:
		return schema{"type": []string{"array", "null"}, "items": w.of(t.Elem(), "")}
	case reflect.Map:
		return schema{"type": []string{"object", "null"}, "additionalProperties": w.of(t.Elem(), "")}
	case reflect.Bool:
		return schema{"type": []string{"boolean", "string", "null"}, "pattern": oldBooleans + "|" + onePlaceholder}
	case reflect.String:
		return w.text(t, name)
	default:
		number := "integer"
		if kind == reflect.Float32 || kind == reflect.Float64 {
			number = "number"
		}
		return schema{"type": []string{number, "string", "null"}, "pattern": onePlaceholder}
	}
}

// text returns the schema of a string, which needs no quotes. An enumeration may be empty or have a placeholder.
func (w *schemaWriter) text(t reflect.Type, name string) schema {
	enum := w.enums[t]
	if t == reflect.TypeFor[string]() {
		enum = w.enums[name]
	}
	if enum == nil {
		return schema{"type": []string{"string", "number", "boolean", "null"}}
	}
	return schema{"anyOf": []schema{
		{"enum": enum}, {"type": []string{"string", "null"}, "pattern": "^$|" + anyPlaceholder},
	}}
}

// object returns the schema of a struct. The name is that of its definition, or empty for the format itself.
func (w *schemaWriter) object(t reflect.Type, definition string) schema {
	properties := make(schema)
	object := schema{"type": []string{"object", "null"}, "properties": properties, "additionalProperties": false}
	descriptions := w.docs[t]
	if descriptions == nil {
		descriptions = swaggerDoc(t)
	}
	describe(object, descriptions[""])
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			maps.Copy(properties, w.object(f.Type, definition)["properties"].(schema))
		case name != "" && name != "-":
			property := w.of(f.Type, strings.Trim(definition+"."+name, "."))
			describe(property, descriptions[name])
			properties[name] = property
		}
	}
	return object
}

// swaggerDoc returns the comments of an API type and of its fields by name. That of the type has an empty name.
func swaggerDoc(t reflect.Type) map[string]string {
	if documented, ok := reflect.TypeAssert[interface{ SwaggerDoc() map[string]string }](reflect.Zero(t)); ok {
		return documented.SwaggerDoc()
	}
	return nil
}

func describe(s schema, text string) {
	if text != "" {
		s["description"] = text
	}
}

// readEnums returns the enumerations that validation reports for the files of testdata/invalid: Kubernetes exports no
// others. They belong to the type of the field. A plain string has one only in a definition itself, because
// Kubernetes accepts more values for some others.
func readEnums(t *testing.T) map[any][]any {
	t.Helper()
	enums := make(map[any][]any)
	for _, name := range inputs(t, filepath.Join("testdata", "invalid"), ".yaml", ".txt") {
		for _, rejection := range loadFile(t, filepath.Join("testdata", "invalid", name+".yaml")).Rejections {
			for _, err := range rejection.Errors.Errors {
				fault, _ := errors.AsType[*conf.Error](err)
				path, message := fault.Split()
				_, values, found := strings.Cut(message, "supported values: ")
				key := enumKey(path)
				if !found || key == nil {
					continue
				}
				for value := range strings.SplitSeq(values, ", ") {
					if value = strings.Trim(value, `"`); !slices.Contains(enums[key], any(value)) {
						enums[key] = append(enums[key], value)
					}
				}
			}
		}
	}
	for _, values := range enums {
		slices.SortFunc(values, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
	}
	return enums
}

// enumKey returns the key of the enumeration of a field, or nil if it has none of its own.
func enumKey(path string) any {
	t := conf.Format()
	for step := range strings.SplitSeq(regexp.MustCompile(`\[[^\]]*\]`).ReplaceAllString(path, ""), ".") {
		for slices.Contains([]reflect.Kind{reflect.Pointer, reflect.Slice, reflect.Map}, t.Kind()) {
			t = t.Elem()
		}
		t = fieldType(t, step)
		if t == nil {
			return nil
		}
	}
	for slices.Contains([]reflect.Kind{reflect.Pointer, reflect.Slice}, t.Kind()) {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[string]() && !strings.Contains(path, "."):
		return path
	case t == reflect.TypeFor[string](), t.Kind() != reflect.String:
		return nil
	}
	return t
}

func fieldType(t reflect.Type, name string) reflect.Type {
	for _, f := range reflect.VisibleFields(t) {
		if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); tag == name {
			return f.Type
		}
	}
	return nil
}

// acceptsValid requires that the schema accepts all valid definitions in files and in the docs.
func acceptsValid(t *testing.T, validator *validate.SchemaValidator) {
	t.Helper()
	for _, pattern := range []string{"*.yaml", "testdata/valid/*.yaml", "testdata/warnings/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || files == nil {
			t.Fatal(pattern, err)
		}
		for _, file := range files {
			for _, value := range decodeLikeEditor(t, readFile(t, file)) {
				if err := validator.Validate(value).AsError(); err != nil {
					t.Errorf("%s: %v", file, err)
				}
			}
		}
	}
	for _, path := range pagesOfFormat(t) {
		acceptsExamples(t, validator, path)
	}
}

// acceptsExamples requires that the schema accepts the valid definitions on a page.
func acceptsExamples(t *testing.T, validator *validate.SchemaValidator, path string) {
	t.Helper()
	blocks := strings.Split(string(readFile(t, path)), "```")
	for i, block := range blocks {
		text, isDefinition := strings.CutPrefix(block, "yaml\n# definition\n")
		if !isDefinition || strings.HasPrefix(blocks[i+2], "text\n") { // with its errors
			continue
		}
		for _, value := range decodeLikeEditor(t, []byte(text)) {
			if err := validator.Validate(value).AsError(); err != nil {
				t.Errorf("%s: %v", text, err)
			}
		}
	}
}

// rejectsMistakes requires that the schema rejects typical mistakes.
func rejectsMistakes(t *testing.T, validator *validate.SchemaValidator) {
	t.Helper()
	for text, want := range map[string]string{
		"containers: []":                                                "name in body is required",
		"name: ~":                                                       "name",
		"{name: a, containerz: []}":                                     "containerz",
		"{name: a, containers: {}}":                                     "containers",
		"{name: a, hostPID: maybe}":                                     "hostPID",
		"{name: a, os: macos}":                                          "os",
		"{name: a, containers: [{imgae: a}]}":                           "imgae",
		"{name: a, containers: [{imagePullPolicy: always}]}":            "imagePullPolicy",
		"{name: a, containers: [{ports: [{containerPort: x}]}]}":        "containerPort",
		"{name: a, containers: [{resources: {requests: {cpu: 1 GB}}}]}": "cpu",
		"{name: a, parameters: {p: {type: integer}}}":                   "type",
		"{name: a, env: {A: b}}":                                        "env",
	} {
		for _, value := range decodeLikeEditor(t, []byte(text)) {
			err := validator.Validate(value).AsError()
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %s", text, err, want)
			}
		}
	}
}

// newSchemaValidator returns a validator of the schema, which resolves no references.
func newSchemaValidator(t *testing.T, content []byte) *validate.SchemaValidator {
	t.Helper()
	var root schema
	if err := json.Unmarshal(content, &root); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(withoutReferences(root, root["definitions"].(schema)))
	if err != nil {
		t.Fatal(err)
	}
	s := new(spec.Schema)
	if err := json.Unmarshal(text, s); err != nil {
		t.Fatal(err)
	}
	return validate.NewSchemaValidator(s, nil, "", strfmt.Default)
}

// withoutReferences returns a value with definitions in the place of references.
func withoutReferences(value any, definitions schema) any {
	switch value := value.(type) {
	case schema:
		if reference, ok := value["$ref"].(string); ok {
			return withoutReferences(definitions[strings.TrimPrefix(reference, "#/definitions/")], definitions)
		}
		expanded := make(schema)
		for key, member := range value {
			if key != "definitions" && key != "$schema" {
				expanded[key] = withoutReferences(member, definitions)
			}
		}
		return expanded
	case []any:
		list := make([]any, len(value))
		for i, element := range value {
			list[i] = withoutReferences(element, definitions)
		}
		return list
	}
	return value
}

// decodeLikeEditor returns the documents of a text as YAML 1.2 or JSON.
func decodeLikeEditor(t *testing.T, text []byte) []any {
	t.Helper()
	var values []any
	for _, document := range documents("a.yaml", string(text)) {
		decode := yaml.Unmarshal
		if json.Valid(document.Content) {
			decode = json.Unmarshal
		}
		var value any
		if err := decode(document.Content, &value); err != nil {
			t.Fatalf("%v:\n%s", err, document.Content)
		}
		values = append(values, asJSON(value))
	}
	return values
}

// asJSON converts what JSON does not have: keys that are no strings, and times.
func asJSON(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for key, member := range value {
			value[key] = asJSON(member)
		}
	case map[any]any:
		object := make(map[string]any)
		for key, member := range value {
			text, _ := yaml.Marshal(key)
			object[strings.TrimSpace(string(text))] = asJSON(member)
		}
		return object
	case []any:
		for i, element := range value {
			value[i] = asJSON(element)
		}
	case int:
		return int64(value)
	case time.Time:
		return value.String()
	}
	return value
}
