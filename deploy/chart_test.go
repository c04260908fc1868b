// Package deploy_test compares the documentation and the schema of the chart's values with values.yaml.
package deploy_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// update writes the table of chart/README.md and the descriptions of chart/values.schema.json: go test ./deploy -update
var update = flag.Bool("update", false, "write generated files")

// value is a value of the chart, or a group of values.
type value struct {
	path    string // such as tls.mode
	text    string // its comment
	initial string // default, empty for a group
}

// chart is the documentation of the values.
type chart struct {
	t      *testing.T
	values []value
}

// TestValues requires that each value has a comment and a schema, and the schema no other values.
func TestValues(t *testing.T) {
	t.Parallel()
	c := &chart{t: t}
	schema := parse(t, "chart/values.schema.json")
	c.walk("", parse(t, "chart/values.yaml"), schema)
	var text bytes.Buffer
	writeJSON(&text, schema, "\n")
	compare(t, "chart/values.schema.json", text.String()+"\n")

	readme := read(t, "chart/README.md")
	part := regexp.MustCompile(`(?s)(<!-- generated: values -->\n).*(<!-- end of generated -->)`)
	if !part.MatchString(readme) {
		t.Fatal("chart/README.md has no generated part")
	}
	compare(t, "chart/README.md", part.ReplaceAllLiteralString(readme,
		"<!-- generated: values -->\n"+c.table()+"<!-- end of generated -->"))
}

// walk adds the values of a mapping, and their comments to the schema.
func (c *chart) walk(prefix string, values, schema *yaml.Node) {
	properties := member(schema, "properties")
	for i := 0; i < len(values.Content); i += 2 {
		key, node := values.Content[i], values.Content[i+1]
		path := prefix + key.Value
		property := member(properties, key.Value)
		if property == nil {
			c.t.Errorf("values.schema.json does not have %s", path)
			continue
		}
		text := commentOf(key)
		describe(property, text)
		if isGroup(node, property) {
			c.values = append(c.values, value{path: path, text: text})
			c.walk(path+".", node, property)
			continue
		}
		if text == "" && key.Value != "enabled" {
			c.t.Errorf("values.yaml: %s has no comment", path)
		}
		c.values = append(c.values, value{path: path, text: text, initial: c.compact(node)})
	}
	for i := 0; properties != nil && i < len(properties.Content); i += 2 {
		if name := properties.Content[i].Value; member(values, name) == nil && name != "global" {
			c.t.Errorf("values.yaml does not have %s%s", prefix, name)
		}
	}
}

// isGroup reports whether the members of a value have documentation of their own.
func isGroup(node, schema *yaml.Node) bool {
	documented := func(n *yaml.Node) bool { return n.HeadComment != "" || n.Value == "enabled" }
	return member(schema, "properties") != nil && slices.ContainsFunc(node.Content, documented)
}

// table returns a table of the values. A group without a comment has no row.
func (c *chart) table() string {
	var out strings.Builder
	out.WriteString("| value | default | |\n| --- | --- | --- |\n")
	for _, v := range c.values {
		text := strings.ReplaceAll(strings.ReplaceAll(v.text, "|", `\|`), "*", `\*`)
		switch {
		case v.initial != "":
			fmt.Fprintf(&out, "| `%s` | `%s` | %s |\n", v.path, v.initial, text)
		case v.text != "":
			fmt.Fprintf(&out, "| `%s` | | %s |\n", v.path, text)
		}
	}
	return out.String()
}

// compact returns a value on one line.
func (c *chart) compact(node *yaml.Node) string {
	if node.Kind == yaml.ScalarNode && node.Value != "" {
		return node.Value
	}
	var decoded any
	if err := node.Decode(&decoded); err != nil {
		c.t.Fatal(err)
	}
	text, err := json.Marshal(decoded)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}

// commentOf returns the last paragraph of the comment above a key, without an indented example at its end.
func commentOf(key *yaml.Node) string {
	paragraphs := strings.Split(key.HeadComment, "\n\n")
	var words []string
	for line := range strings.Lines(paragraphs[len(paragraphs)-1]) {
		line = strings.TrimSpace(strings.TrimPrefix(line, "#"))
		if sentence, found := strings.CutSuffix(line, ":"); found {
			words = append(words, sentence+".")
			break
		}
		words = append(words, line)
	}
	return strings.Join(words, " ")
}

// describe sets the description of a schema, as its first member.
func describe(schema *yaml.Node, text string) {
	if i := slices.IndexFunc(schema.Content, isKey("description")); i >= 0 && i%2 == 0 {
		schema.Content = slices.Delete(schema.Content, i, i+2)
	}
	if text != "" {
		schema.Content = slices.Insert(schema.Content, 0, scalar("description"), scalar(text))
	}
}

func scalar(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
}

func isKey(name string) func(*yaml.Node) bool {
	return func(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Value == name }
}

// member returns a value of a mapping, or nil.
func member(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; mapping != nil && mapping.Kind == yaml.MappingNode && i < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

// writeJSON writes a node with its members in order. The line break has the indentation.
func writeJSON(out *bytes.Buffer, node *yaml.Node, lineBreak string) {
	step, brackets := 1, "[]"
	switch {
	case node.Kind == yaml.MappingNode:
		step, brackets = 2, "{}"
	case node.Kind == yaml.ScalarNode && node.Tag != "!!str":
		out.WriteString(node.Value)
		return
	case node.Kind == yaml.ScalarNode:
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		_ = encoder.Encode(node.Value) // a string
		out.Truncate(out.Len() - 1)    // the line break
		return
	}
	if len(node.Content) == 0 {
		out.WriteString(brackets)
		return
	}
	separator := brackets[:1]
	for i := 0; i < len(node.Content); i += step {
		out.WriteString(separator + lineBreak + "  ")
		if step == 2 {
			writeJSON(out, node.Content[i], "")
			out.WriteString(": ")
		}
		writeJSON(out, node.Content[i+step-1], lineBreak+"  ")
		separator = ","
	}
	out.WriteString(lineBreak + brackets[1:])
}

// parse returns the root of a YAML or JSON file.
func parse(t *testing.T, path string) *yaml.Node {
	t.Helper()
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(read(t, path)), &document); err != nil {
		t.Fatal(path, err)
	}
	return document.Content[0]
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// compare compares a file with a text, or writes it.
func compare(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(read(t, path), want); diff != "" {
		t.Errorf("%s (-file +generated; run go test ./deploy -update):\n%s", path, diff)
	}
}
