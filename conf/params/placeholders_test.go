package params_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"k8s-sidecar-injector/conf/params"
)

// declarations parses the parameters of a definition in JSON.
func declarations(t *testing.T, text string) map[string]params.Parameter {
	t.Helper()
	var declared map[string]params.Parameter
	if err := json.Unmarshal([]byte(text), &declared); err != nil {
		t.Fatal(err)
	}
	return declared
}

func TestParse(t *testing.T) {
	t.Parallel()
	declared := declarations(t, `{"a": {}, "b": {}}`)
	values := map[string]string{"a": "A", "b": "${a}", "pod.name": "N", "pod.labels.example.com/x": "L"}
	long := "${" + strings.Repeat("a", 1000) + "}"
	for text, want := range map[string]any{
		"plain":                        nil,
		"${HOME} $(A) $$ ${ {a} ${a":   nil,
		"$${HOME}":                     nil,
		"${}":                          nil,
		long:                           nil,
		"${a}":                         "A",
		"<${a}|${b}|${a}>":             "<A|${a}|A>",
		"$${a}":                        "${a}",
		"$$${a}":                       "$${a}",
		"${HOME} ${a}":                 "${HOME} A",
		"${${a}}":                      "${A}",
		"${a${b}":                      "${a${a}",
		"${pod.name}":                  "N",
		"$${pod.name}":                 "${pod.name}",
		"$${pod.nam}":                  "${pod.nam}",
		"${pod.labels.example.com/x}!": "L!",
		"${pod.name":                   nil,
	} {
		scope := params.NewScope(declared)
		parsed, err := scope.Parse(nil, text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var got any
		if parsed != nil {
			got = params.Substitute(parsed, valuesOf(scope, values))
		}
		if got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
	for _, text := range []string{
		"${pod.nam}", "${pod.}", "${pod.name.x}", "${pod.labels.}", "${pod.labels.a b}", "${pod.uid}",
	} {
		parsed, err := params.NewScope(declared).Parse(nil, text)
		if err == nil || strings.Contains(err.Error(), "pod.nam}") {
			t.Errorf("%s: got %v, %v; want an error without the text", text, parsed, err)
		}
	}
}

// valuesOf returns the values that a scope needs, by name.
func valuesOf(scope *params.Scope, byName map[string]string) []string {
	var values []string
	for i := range scope.Parameters {
		values = append(values, byName[scope.Parameters[i].Name])
	}
	return values
}

// A value takes the place of one text, whatever it is, and the template is not changed.
func TestSubstitute(t *testing.T) {
	t.Parallel()
	scope := params.NewScope(declarations(t, `{"n": {"type": "int"}, "s": {}}`))
	parse := func(text string, as params.Type) *params.Text {
		parsed, err := scope.Parse(nil, text)
		if err != nil {
			t.Fatal(err)
		}
		parsed.As = as
		return parsed
	}
	template := map[string]any{
		"string": parse("<${s}>", ""),
		"list":   []any{parse("${s}", params.String), "${s}", json.Number("1"), nil},
		"number": parse("${n}", params.Int),
		"bool":   parse("${s}", params.Bool),
	}
	for _, value := range []string{
		"", "a", "null", "[]", `{"x": 1}`, "\"},{\"x\":\"", "a\nb: c", "- a", "&a", "*a", "!!int 1", "\x00", "${s}", "${n}",
	} {
		want := map[string]any{
			"string": "<" + value + ">",
			"list":   []any{value, "${s}", json.Number("1"), nil},
			"number": json.Number("7"),
			"bool":   value,
		}
		for range 2 {
			if got := params.Substitute(template, []string{"7", value}); !reflect.DeepEqual(got, want) {
				t.Errorf("%q: got %v, want %v", value, got, want)
			}
		}
	}
	want := map[string]any{"number": "007", "bool": true}
	delete(template, "string")
	delete(template, "list")
	got := params.Substitute(template, []string{"007", "true"})
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	scope := params.NewScope(declarations(t, `{"a": {}, "b": {}}`))
	var texts []*params.Text
	for _, text := range []string{"${a}${a} and ${b}", "$${a}", "${a}"} {
		parsed, err := scope.Parse(nil, text)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, parsed)
	}
	for want, values := range map[int][]string{0: {"", ""}, 11: {"aaa", "bb"}, 38: {"\x01\x01", "\n"}} {
		if got := params.Size(texts, values); got != want {
			t.Errorf("%q: got %d, want %d", values, got, want)
		}
	}
}

// Samples have the types of their parameters, whatever the declarations are.
func TestSamples(t *testing.T) {
	t.Parallel()
	scope := params.NewScope(declarations(t, `{
		"a": {}, "b": {}, "default": {"default": "d"}, "enum": {"enum": ["x", "y"]}, "empty": {"enum": []},
		"int": {"type": "int"}, "bad-int": {"type": "int", "default": "007"},
		"bad-enum": {"type": "int", "enum": ["a"]}, "bad-min": {"type": "int", "min": "a"},
		"bool": {"type": "bool"}, "bad-bool": {"type": "bool", "default": "on"},
		"quantity": {"type": "quantity"}, "bad-quantity": {"type": "quantity", "default": "1e10000000"},
		"bad-max": {"type": "quantity", "max": "1e10000000"},
		"unknown": {"type": "float"}
	}`))
	if _, err := scope.Parse(nil, "${pod.name}${pod.namespace}"); err != nil {
		t.Fatal(err)
	}
	kinds := map[params.Type][]string{params.Int: nil, params.Bool: {"true", "false"}, params.Quantity: nil}
	for round := range scope.Rounds() {
		for i, value := range scope.Samples(round) {
			p := &scope.Parameters[i]
			if _, err := params.ParseQuantity(value); err != nil && (p.Type == params.Int || p.Type == params.Quantity) {
				t.Errorf("%s: got %q: %v", p.Name, value, err)
			}
			if want := kinds[p.Type]; want != nil && !slices.Contains(want, value) {
				t.Errorf("%s: got %q", p.Name, value)
			}
		}
	}
	first := scope.Samples(0)
	unknown := []string{first[0], first[1], first[len(first)-2], first[len(first)-1]}
	if slices.Sort(unknown); len(slices.Compact(unknown)) != 4 {
		t.Errorf("got %q, want different values", unknown)
	}
}
