package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"k8s-sidecar-injector/conf"
)

// errUnsupported is returned for an edit of an alias, or of another construct that is rare in manifests.
var errUnsupported = errors.New("the text cannot be edited")

// editText changes the text of a YAML or JSON document so that its value is after instead of before. All other
// text stays: comments, order and format. The values are decoded JSON. The result is checked by parsing it.
func editText(document conf.Document, before, after any) ([]byte, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(document.Content, &root); err != nil {
		return nil, err
	}
	if len(root.Content) == 0 {
		return nil, errUnsupported
	}
	e := newTextEditor(document.Content, &root)
	e.edit(root.Content[0], before, after)
	if e.err != nil {
		return nil, e.err
	}
	document.Content = e.apply()
	edited, err := document.JSON()
	if err != nil {
		return nil, err
	}
	if value, err := decodeTree(edited); err != nil || !reflect.DeepEqual(value, after) {
		return nil, cmp.Or(err, errUnsupported)
	}
	return document.Content, nil
}

// textEditor collects the edits of a text. The first error is kept.
type textEditor struct {
	text    []byte
	lines   []int // offsets of the beginnings of lines
	isJSON  bool
	style   snippetStyle
	newline string
	edits   []textEdit
	err     error
}

// textEdit replaces a part of the text, which may be empty.
type textEdit struct {
	start, end int
	text       string
}

func newTextEditor(text []byte, root *yaml.Node) *textEditor {
	e := &textEditor{text: text, isJSON: isJSONObject(text), newline: "\n"}
	if bytes.Contains(text, []byte("\r\n")) {
		e.newline = "\r\n"
	}
	at := 0
	for line := range bytes.Lines(text) {
		e.lines = append(e.lines, at)
		at += len(line)
	}
	e.style = findStyle(text, root)
	return e
}

func isJSONObject(text []byte) bool {
	return bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) && json.Valid(text)
}

func (e *textEditor) fail() {
	if e.err == nil {
		e.err = errUnsupported
	}
}

func (e *textEditor) replace(start, end int, text string) {
	if e.newline != "\n" {
		text = strings.ReplaceAll(text, "\n", e.newline)
	}
	e.edits = append(e.edits, textEdit{start, end, text})
}

// apply returns the edited text. Edits at one place are applied in their order.
func (e *textEditor) apply() []byte {
	slices.SortStableFunc(e.edits, func(a, b textEdit) int { return cmp.Compare(a.start, b.start) })
	var edited []byte
	at := 0
	for _, edit := range e.edits {
		if edit.start < at {
			continue // overlaps another edit, so the check of the result fails
		}
		edited = append(append(edited, e.text[at:edit.start]...), edit.text...)
		at = edit.end
	}
	return append(edited, e.text[at:]...)
}

// edit edits a collection, which stays one.
func (e *textEditor) edit(node *yaml.Node, before, after any) {
	if reflect.DeepEqual(before, after) {
		return
	}
	oldMap, _ := before.(map[string]any)
	newMap, isMap := after.(map[string]any)
	oldList, _ := before.([]any)
	newList, isList := after.([]any)
	isFlow := node.Style&yaml.FlowStyle != 0
	switch {
	case isMap && oldMap != nil && node.Kind == yaml.MappingNode && isFlow:
		e.editFlowMapping(node, oldMap, newMap)
	case isMap && oldMap != nil && node.Kind == yaml.MappingNode:
		e.editMapping(node, oldMap, newMap)
	case isList && oldList != nil && node.Kind == yaml.SequenceNode && isFlow:
		e.editFlowSequence(node, oldList, newList)
	case isList && oldList != nil && node.Kind == yaml.SequenceNode:
		e.editSequence(node, oldList, newList)
	default:
		e.fail()
	}
}

// offset returns the offset of a node in the text.
func (e *textEditor) offset(node *yaml.Node) int {
	if node.Line < 1 || node.Line > len(e.lines) {
		e.fail()
		return 0
	}
	at := e.lines[node.Line-1]
	for range node.Column - 1 {
		if at >= len(e.text) {
			e.fail()
			return 0
		}
		at++
		for at < len(e.text) && e.text[at]&0xC0 == 0x80 { // the rest of a UTF-8 sequence
			at++
		}
	}
	return at
}

// lineText returns a line, from 0, without its end.
func (e *textEditor) lineText(line int) string {
	end := len(e.text)
	if line+1 < len(e.lines) {
		end = e.lines[line+1]
	}
	return strings.TrimRight(string(e.text[e.lines[line]:end]), "\r\n")
}

// lineAt returns the line, from 0, at an offset.
func (e *textEditor) lineAt(offset int) int {
	line, found := slices.BinarySearch(e.lines, offset)
	if !found {
		line--
	}
	return line
}

// indentOf returns the number of spaces before the text of a line.
func indentOf(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

// alignLists returns for each element of a list its index in the changed list, or -1 if it is removed.
func alignLists(before, after []any) []int {
	indexes, next := make([]int, len(before)), 0
	for i, element := range before {
		name := identity(element)
		exact := func(other any) bool { return reflect.DeepEqual(element, other) }
		similar := func(other any) bool { return name != "" && name == identity(other) }
		at := -1
		switch rest := after[next:]; {
		case len(rest) > 0 && (exact(rest[0]) || similar(rest[0])):
			at = 0
		case slices.ContainsFunc(rest, exact):
			at = slices.IndexFunc(rest, exact)
		case slices.ContainsFunc(rest, similar):
			at = slices.IndexFunc(rest, similar)
		case name == "" && len(before) == len(after) && i >= next:
			at = i - next
		}
		if indexes[i] = at; at >= 0 {
			indexes[i] += next
			next += at + 1
		}
	}
	return indexes
}

// identity returns what identifies an element in a list: the name of a container, or kind and name of an object.
func identity(element any) string {
	object, _ := element.(map[string]any)
	if name, ok := object["name"].(string); ok {
		return name
	}
	metadata, _ := object["metadata"].(map[string]any)
	name, _ := metadata["name"].(string)
	kind, _ := object["kind"].(string)
	if name == "" {
		return ""
	}
	return kind + "/" + name
}
