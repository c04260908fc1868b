package conf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// outline is the YAML node tree of a document, kept while it is parsed: it knows lines,
// which the decoded values do not. The zero outline knows none.
type outline struct {
	root *yaml.Node
	// offset is added to a node's line to give the line of the file.
	offset int
	// size is that of a document that could not be parsed, in bytes.
	size int
}

// errRest is the error for content behind the end of a document. The parsers end it there without an error,
// as where a line is indented less than the first one.
var errRest = errors.New("content follows the end of the document; check the indentation of its first line")

// newOutline parses a document without expanding its aliases. The error for content that follows the document
// wraps errRest.
func newOutline(document Document) (outline, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(document.Content))
	var top, rest yaml.Node
	switch err := decoder.Decode(&top); {
	case errors.Is(err, io.EOF):
		return outline{}, nil
	case err != nil:
		return outline{size: len(document.Content)}, err
	}
	if err := decoder.Decode(&rest); !errors.Is(err, io.EOF) {
		line := rest.Line
		if err != nil {
			line, _ = syntaxError(err)
		}
		return outline{}, fmt.Errorf("yaml: line %d: %w", line, errRest)
	}
	return outline{root: top.Content[0], offset: document.Line - 1}, nil
}

// line is where the field at the path, or the nearest part of the path that exists, stands;
// 0 when that is not known.
func (o outline) line(path string) int {
	if o.root == nil {
		return 0
	}
	node, line := o.root, o.root.Line
	for path != "" {
		at, next, rest := descend(node, path)
		if next == nil {
			break
		}
		node, line, path = next, at, rest
	}
	return line + o.offset
}

// duplicates finds the keys that an object has twice. Aliases are not followed: what they
// stand for is found where it is written.
func (o outline) duplicates() findings {
	var found findings
	if o.root != nil {
		found.duplicateKeys(nil, o.root)
	}
	return found
}

func (f *findings) duplicateKeys(path *field.Path, node *yaml.Node) {
	switch node.Kind { //nolint:exhaustive // the others hold no keys
	case yaml.MappingNode:
		seen := make(map[string]bool, len(node.Content)/2)
		for i := 0; i+1 < len(node.Content); i += 2 {
			key := resolved(node.Content[i]).Value
			at := keyPath(path, key, node.Content[i+1].Tag == "!!null")
			if !text(resolved(node.Content[i])) {
				f.unquoted(at)
			}
			if seen[key] && node.Content[i].Tag != "!!merge" {
				f.duplicate(at)
			}
			seen[key] = true
			f.duplicateKeys(at, node.Content[i+1])
		}
	case yaml.SequenceNode:
		for i, element := range node.Content {
			f.duplicateKeys(index(path, i), element)
		}
	}
}

// text tells whether a key is a string for every parser: in YAML 1.1, which Kubernetes reads,
// y and on are true, and 0x10 is 16.
func text(key *yaml.Node) bool {
	if key.Kind != yaml.ScalarNode || key.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 || key.Tag == "!!merge" {
		return true
	}
	words := []string{"y", "yes", "on", "n", "no", "off"}
	return key.Tag == "!!str" && !slices.Contains(words, strings.ToLower(key.Value))
}

func (f *findings) unquoted(path *field.Path) {
	if len(f.first) == mostFaults {
		f.more++
		return
	}
	f.add(field.Invalid(path, field.OmitValueType{}, "a key that YAML takes for a number or for true or false: put it in quotes"))
}

// duplicate spells the path, which may be long, only of faults that are reported.
func (f *findings) duplicate(path *field.Path) {
	if len(f.first) == mostFaults {
		f.more++
		return
	}
	f.add(field.Duplicate(path, field.OmitValueType{}))
}

// descend goes one step down. It tells the line to show for it, that of the key, and the rest
// of the path.
func descend(node *yaml.Node, path string) (int, *yaml.Node, string) {
	node = resolved(node)
	switch node.Kind { //nolint:exhaustive // there is no step down from the others
	case yaml.SequenceNode:
		step, rest, _ := strings.Cut(strings.TrimPrefix(path, "["), "]")
		if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(node.Content) {
			return node.Content[i].Line, node.Content[i], rest
		}
	case yaml.MappingNode:
		// From the end, so that the line shown for a duplicate key is the second one's.
		for i := len(node.Content) - 2; i >= 0; i -= 2 {
			if rest, found := afterKey(path, resolved(node.Content[i]).Value); found {
				return node.Content[i].Line, node.Content[i+1], rest
			}
		}
	}
	return 0, nil, ""
}

// resolved is what an alias stands for, or else the node itself.
func resolved(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}
