package cli

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// snippetStyle is the format of a document.
type snippetStyle struct {
	indent  int
	compact bool // whether lists have the indent of their key
}

// findStyle returns the format of a document. By default, it is that of kubectl.
func findStyle(text []byte, root *yaml.Node) snippetStyle {
	s := snippetStyle{indent: 2, compact: true}
	for line := range bytes.Lines(text) {
		if indent := indentOf(string(line)); indent > 0 && len(bytes.TrimSpace(line)) > 0 {
			s.indent = max(2, indent)
			break
		}
	}
	if list, key := firstList(root); list != nil {
		s.compact = list.Column == key.Column
	}
	return s
}

// firstList returns the first list in block style that is the value of a key, and the key.
func firstList(node *yaml.Node) (list, key *yaml.Node) {
	for i, child := range node.Content {
		if node.Kind == yaml.MappingNode && i%2 == 1 && child.Kind == yaml.SequenceNode &&
			child.Style&yaml.FlowStyle == 0 && node.Style&yaml.FlowStyle == 0 {
			return child, node.Content[i-1]
		}
		if list, key = firstList(child); list != nil {
			return list, key
		}
	}
	return nil, nil
}

// block returns a value in block style. It ends with a newline.
func (s snippetStyle) block(value any) string { return s.encode(toNode(value)) }

// flow returns a value in flow style, without a newline. It is encoded in a list, where a text with a comma has quotes.
func (s snippetStyle) flow(value any) string {
	list := toNode([]any{value})
	list.Style |= yaml.FlowStyle
	return strings.TrimSuffix(strings.TrimPrefix(s.encode(list), "["), "]\n")
}

func (s snippetStyle) encode(node *yaml.Node) string {
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(s.indent)
	if s.compact {
		encoder.CompactSeqIndent()
	}
	if encoder.Encode(node) != nil || encoder.Close() != nil {
		return "" // the check of the result fails
	}
	return text.String()
}

// toNode returns the node of a decoded JSON value. The name comes first in an object.
func toNode(value any) *yaml.Node {
	switch v := value.(type) {
	case map[string]any:
		node := &yaml.Node{Kind: yaml.MappingNode}
		keys := slices.Sorted(maps.Keys(v))
		if i := slices.Index(keys, "name"); i > 0 {
			keys = slices.Insert(slices.Delete(keys, i, i+1), 0, "name")
		}
		for _, key := range keys {
			node.Content = append(node.Content, toNode(key), toNode(v[key]))
		}
		return node
	case []any:
		node := &yaml.Node{Kind: yaml.SequenceNode}
		for _, element := range v {
			node.Content = append(node.Content, toNode(element))
		}
		return node
	case json.Number:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: string(v)}
	}
	node := new(yaml.Node)
	_ = node.Encode(value) // null, a boolean or a string
	return node
}
