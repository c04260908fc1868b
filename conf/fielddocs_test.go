package conf_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"reflect"
	"strings"
	"testing"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/conf/params"
	"k8s-sidecar-injector/conf/podrules"
)

// fieldDocs are the comments of the fields of our own types, by name in JSON. The schema and the tables of
// docs/sidecar-format.md and docs/format have them.
type fieldDocs map[reflect.Type]map[string]string

// readFieldDocs reads the comments from the source. The test fails if a field of the format has none.
func readFieldDocs(t *testing.T) fieldDocs {
	t.Helper()
	docs := make(fieldDocs)
	for declared, path := range map[reflect.Type]string{
		conf.Format():                            "definition.go",
		reflect.TypeFor[podrules.Definition]():   "podrules/definition.go",
		reflect.TypeFor[podrules.EnvExtension](): "podrules/definition.go",
		reflect.TypeFor[conf.AppliesTo]():        "appliesto.go",
		reflect.TypeFor[conf.CopyFrom]():         "copyfrom.go",
		reflect.TypeFor[params.Parameter]():      "params/parameter.go",
	} {
		docs[declared] = commentsOf(t, path, declared)
		for _, f := range reflect.VisibleFields(declared) {
			if name := jsonName(f); len(f.Index) == 1 && name != "" && docs[declared][name] == "" {
				t.Errorf("%s: field %s of %s has no comment", path, f.Name, declared)
			}
		}
	}
	maps.Copy(docs[conf.Format()], docs[reflect.TypeFor[podrules.Definition]()])
	return docs
}

// commentsOf returns the comments of the fields of a struct that a file declares, each as one line.
func commentsOf(t *testing.T, path string, declared reflect.Type) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	texts := make(map[string]string)
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.TypeSpec)
		if !ok || spec.Name.Name != declared.Name() {
			return true
		}
		for _, f := range spec.Type.(*ast.StructType).Fields.List {
			for _, name := range f.Names {
				if field, ok := declared.FieldByName(name.Name); ok {
					texts[jsonName(field)] = strings.Join(strings.Fields(f.Doc.Text()), " ")
				}
			}
		}
		return false
	})
	return texts
}

// jsonName returns the name of a field in JSON, or "" if it has none.
func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return strings.TrimPrefix(name, "-")
}
