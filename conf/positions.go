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

// outline is the YAML node tree of a document. It has the lines of fields. The zero outline has none.
type outline struct {
	root *yaml.Node
	// offset is the difference between the line in the file and the line of a node.
	offset int
	// size is the size in bytes of a document that could not be parsed.
	size int
}

// errRest is returned for content after the end of a document. The parsers ignore it, for example if a line is
// indented less than the first one.
var errRest = errors.New("content follows the end of the document; check the indentation of its first line")

// newOutline parses a document without expanding its aliases. The error wraps errRest if content follows the
// document.
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

// isPlain reports whether the document has only strings, whole numbers, booleans and null, without tags, aliases and
// merge keys. The parser of Kubernetes finds no more errors in such a document.
func (o outline) isPlain() bool { return o.root != nil && isPlainNode(o.root) }

func isPlainNode(node *yaml.Node) bool {
	if node.Style&yaml.TaggedStyle != 0 {
		return false
	}
	switch node.Kind { //nolint:exhaustive // aliases are not plain
	case yaml.ScalarNode:
		return slices.Contains([]string{stringTag, "!!int", "!!bool", nullTag}, node.Tag)
	case yaml.MappingNode:
		for i := 0; i < len(node.Content); i += 2 {
			if node.Content[i].Tag != stringTag {
				return false
			}
		}
		return !slices.ContainsFunc(node.Content, func(child *yaml.Node) bool { return !isPlainNode(child) })
	case yaml.SequenceNode:
		return !slices.ContainsFunc(node.Content, func(child *yaml.Node) bool { return !isPlainNode(child) })
	}
	return false
}

// line returns the line of a field or, if the field does not exist, of its nearest ancestor. It returns 0 if the
// line is not known.
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

// duplicates returns the faults of duplicate keys and, if quotes is set, of keys that are only strings in quotes.
// Aliases are not followed, because the faults are found at the anchor.
func (o outline) duplicates(quotes bool) field.ErrorList {
	if o.root == nil {
		return nil
	}
	return checkKeys(nil, o.root, quotes)
}

func checkKeys(path *field.Path, node *yaml.Node, quotes bool) field.ErrorList {
	var faults field.ErrorList
	switch node.Kind { //nolint:exhaustive // the others hold no keys
	case yaml.MappingNode:
		seen := make(map[string]bool, len(node.Content)/2)
		for i := 0; i+1 < len(node.Content); i += 2 {
			key := resolved(node.Content[i]).Value
			at := keyPath(path, key, node.Content[i+1].Tag == nullTag)
			if quotes && !isString(resolved(node.Content[i])) {
				faults = append(faults, field.Invalid(at, field.OmitValueType{},
					"YAML parses this key as a number or a boolean; put it in quotes"))
			}
			if seen[key] && node.Content[i].Tag != mergeTag {
				faults = append(faults, field.Duplicate(at, field.OmitValueType{}))
			}
			seen[key] = true
			faults = append(faults, checkKeys(at, node.Content[i+1], quotes)...)
		}
	case yaml.SequenceNode:
		for i, element := range node.Content {
			faults = append(faults, checkKeys(path.Index(i), element, quotes)...)
		}
	}
	return faults
}

// isString reports whether a key is a string in YAML 1.1 as well, which Kubernetes parses. There, y and on are
// true, and 0x10 is 16.
func isString(key *yaml.Node) bool {
	quoted := key.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0
	if key.Kind != yaml.ScalarNode || quoted || key.Tag == mergeTag {
		return true
	}
	_, boolean := oldBoolean(key)
	return key.Tag == stringTag && !boolean
}

// descend returns the child that the path begins with, the line of its key, and the rest of the path.
func descend(node *yaml.Node, path string) (int, *yaml.Node, string) {
	node = resolved(node)
	switch node.Kind { //nolint:exhaustive // the others have no children
	case yaml.SequenceNode:
		step, rest, _ := strings.Cut(strings.TrimPrefix(path, "["), "]")
		if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(node.Content) {
			return node.Content[i].Line, node.Content[i], rest
		}
	case yaml.MappingNode:
		// Backward, so that the line of a duplicate key is that of the second one.
		for i := len(node.Content) - 2; i >= 0; i -= 2 {
			if rest, found := afterKey(path, resolved(node.Content[i]).Value); found {
				return node.Content[i].Line, node.Content[i+1], rest
			}
		}
	}
	return 0, nil, ""
}

// resolved returns the node of an alias, or the node itself.
func resolved(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}
