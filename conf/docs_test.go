package conf_test

import (
	"reflect"
	"strings"
	"testing"

	"k8s-sidecar-injector/conf"
)

// TestDocs requires that the page documents each field: those of a definition at the beginning of a line of YAML,
// those of a parameter in a table. The tests of package mutate run the examples on the page.
func TestDocs(t *testing.T) {
	t.Parallel()
	page := string(readFile(t, "../docs/sidecar-format.md"))
	for _, name := range fieldNames(conf.Format()) {
		if !strings.Contains(page, "\n"+name+": ") {
			t.Errorf("no definition on the page has %s", name)
		}
	}
	parameters, _ := conf.Format().FieldByName("Parameters")
	_, table, _ := strings.Cut(page, "### Declaring parameters\n")
	table, _, _ = strings.Cut(table, "```")
	for _, name := range fieldNames(parameters.Type.Elem()) {
		if !strings.Contains(table, "`"+name+"`") {
			t.Errorf("the table of parameters does not have %s", name)
		}
	}
}

func fieldNames(t reflect.Type) []string {
	var names []string
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			names = append(names, name)
		}
	}
	return names
}
