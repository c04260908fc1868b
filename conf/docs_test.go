package conf_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/conf/params"
)

// formatIndex is the page with all fields, and formatPages are those about groups of fields.
const (
	formatIndex = "../docs/sidecar-format.md"
	formatPages = "../docs/format/*.md"
)

// A table of fields is written below its marker, which names fields of a definition, or the field whose own fields
// the table has. In the index, it names none: the table has all.
var fieldTable = regexp.MustCompile(
	`(?s)(<!-- fields(?: of (\w+))?(?:: ([\w, \n]+?))? -->\n).*?(<!-- end of fields -->)`)

// formatDocs writes the tables of fields.
type formatDocs struct {
	docs     fieldDocs
	defaults map[string]any
	index    strings.Builder
	page     string   // that is being read, such as format/jobs.md
	title    string   // of the page
	fields   []string // of the page
	seen     []string // fields of all pages
}

// TestDocs compares the tables of fields with the format. Each field has a table on one page, and an example there,
// which a test of package mutate runs. Run go test ./conf -run Docs -update after a change.
func TestDocs(t *testing.T) {
	t.Parallel()
	f := &formatDocs{docs: readFieldDocs(t), defaults: formatDefaults(t)}
	f.index.WriteString("| field | type | default | what it does | page |\n| --- | --- | --- | --- | --- |\n")
	for _, path := range pagesOfFormat(t) {
		f.checkPage(t, path)
	}
	want := slices.Sorted(slices.Values(fieldNames(conf.Format())))
	if got := slices.Sorted(slices.Values(f.seen)); !slices.Equal(got, want) {
		t.Errorf("the pages have the fields\n%q, want\n%q", got, want)
	}
	text := fieldTable.ReplaceAllString(string(readFile(t, formatIndex)), "${1}"+f.index.String()+"${4}")
	compareGolden(t, formatIndex, text)
}

// pagesOfFormat returns the pages about groups of fields, in the order in which the index links to them.
func pagesOfFormat(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob(formatPages)
	if err != nil || paths == nil {
		t.Fatal(formatPages, err)
	}
	index := string(readFile(t, formatIndex))
	slices.SortFunc(paths, func(a, b string) int {
		link := func(page string) int { return strings.Index(index, "](format/"+filepath.Base(page)) }
		return cmp.Compare(link(a), link(b))
	})
	if !strings.Contains(index, "](format/"+filepath.Base(paths[0])+")") {
		t.Errorf("%s has no link to %s", formatIndex, paths[0])
	}
	return paths
}

func (f *formatDocs) checkPage(t *testing.T, path string) {
	t.Helper()
	text := string(readFile(t, path))
	heading, _, _ := strings.Cut(text, "\n")
	f.page, f.title, f.fields = "format/"+filepath.Base(path), strings.TrimPrefix(heading, "# "), nil
	tables := fieldTable.ReplaceAllStringFunc(text, func(table string) string {
		match := fieldTable.FindStringSubmatch(table)
		if match[2] != "" {
			return match[1] + f.nested(t, match[2]) + match[4]
		}
		return match[1] + f.table(t, strings.Split(strings.Join(strings.Fields(match[3]), " "), ", ")) + match[4]
	})
	compareGolden(t, path, tables)
	for _, name := range f.fields {
		if !regexp.MustCompile("(?s)```yaml\n# definition\n([^`]*\n)?" + name + ":").MatchString(text) {
			t.Errorf("%s: no definition has %s", path, name)
		}
	}
}

// table returns a table of fields of a definition, and adds them to the index.
func (f *formatDocs) table(t *testing.T, names []string) string {
	t.Helper()
	var out strings.Builder
	out.WriteString("| field | type | |\n| --- | --- | --- |\n")
	for _, name := range names {
		of := fieldType(conf.Format(), name)
		if of == nil {
			t.Errorf("%s: there is no field %q", f.page, name)
			continue
		}
		text := f.docs[conf.Format()][name]
		fmt.Fprintf(&out, "| `%s` | `%s` | %s |\n", name, f.typeText(of), text)
		first, _, _ := strings.Cut(text, ". ")
		fmt.Fprintf(&f.index, "| `%s` | `%s` | %s | %s | [%s](%s) |\n", name, f.typeText(of), f.defaultOf(name, of),
			strings.TrimSuffix(first, "."), f.title, f.page)
	}
	f.fields = append(f.fields, names...)
	f.seen = append(f.seen, names...)
	return out.String()
}

// nested returns the table of the fields of a field.
func (f *formatDocs) nested(t *testing.T, name string) string {
	t.Helper()
	of := fieldType(conf.Format(), name)
	for of != nil && f.docs[of] == nil {
		of = of.Elem()
	}
	if of == nil {
		t.Fatalf("%s: there is no field %q", f.page, name)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "| field of `%s` | type | |\n| --- | --- | --- |\n", name)
	for _, member := range fieldNames(of) {
		fmt.Fprintf(&out, "| `%s` | `%s` | %s |\n", member, f.typeText(fieldType(of, member)), f.docs[of][member])
	}
	return out.String()
}

// defaultOf returns the default of a field: that of the list command, or false.
func (f *formatDocs) defaultOf(name string, of reflect.Type) string {
	value, ok := f.defaults[name]
	switch list, isList := value.([]any); {
	case isList && len(list) > 0:
		return fmt.Sprintf("`%s`", list[0])
	case ok && !isList:
		return fmt.Sprintf("`%v`", value)
	case of.Kind() == reflect.Bool:
		return "`false`"
	}
	return ""
}

// formatDefaults returns the defaults of fields that the list command prints.
func formatDefaults(t *testing.T) map[string]any {
	t.Helper()
	text, err := json.Marshal(conf.Load(documents("a.yaml", "name: a"), nil).Sidecars[0].Listed())
	if err != nil {
		t.Fatal(err)
	}
	var listed map[string]any
	if err := json.Unmarshal(text, &listed); err != nil {
		t.Fatal(err)
	}
	return listed
}

// typeText returns the name of a type as kubectl explain prints it.
func (f *formatDocs) typeText(t reflect.Type) string {
	switch {
	case f.docs[t] != nil:
		return "object"
	case t.Kind() == reflect.Pointer:
		return f.typeText(t.Elem())
	case t.Kind() == reflect.Slice:
		return "[]" + f.typeText(t.Elem())
	case t.Kind() == reflect.Map:
		return "map[string]" + f.typeText(t.Elem())
	case t == reflect.TypeFor[params.Scalar]():
		return "scalar"
	case t.Kind() == reflect.Struct:
		return t.Name()
	case t.Kind() == reflect.Int64:
		return "integer"
	case t.Kind() == reflect.Bool:
		return "boolean"
	}
	return t.Kind().String()
}

func fieldNames(t reflect.Type) []string {
	var names []string
	for _, f := range reflect.VisibleFields(t) {
		if name := jsonName(f); name != "" {
			names = append(names, name)
		}
	}
	return names
}
