package cli

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// editFlowMapping edits a mapping in flow style, such as an object of JSON.
func (e *textEditor) editFlowMapping(node *yaml.Node, before, after map[string]any) {
	written := make(map[string]bool)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i].Value, node.Content[i+1]
		written[key] = true
		was, is := before[key], after[key]
		if _, found := after[key]; !found && node.Content[i].Tag != "!!merge" {
			e.fail() // sidecars remove no fields
			return
		}
		if len(value.Content) > 0 || isCollection(was) && isCollection(is) {
			e.edit(value, was, is)
		} else if !reflect.DeepEqual(was, is) {
			start := e.offset(value)
			e.replace(start, e.flowScalarEnd(start), e.flowText(is, e.flowLayout(node)))
		}
	}
	layout := e.flowLayout(node)
	var members []string
	for _, key := range slices.Sorted(maps.Keys(after)) {
		if !written[key] {
			members = append(members, e.flowMember(key, after[key], layout))
		}
	}
	e.appendFlow(node, members, layout)
}

// editFlowSequence edits a sequence in flow style. It does not remove elements.
func (e *textEditor) editFlowSequence(node *yaml.Node, before, after []any) {
	layout := e.flowLayout(node)
	if len(node.Content) != len(before) {
		e.fail()
		return
	}
	next := 0
	for i, index := range alignLists(before, after) {
		if index < 0 {
			e.fail()
			return
		}
		for _, element := range after[next:index] {
			start := e.offset(node.Content[i])
			e.replace(start, start, e.flowText(element, layout)+","+layout.separator())
		}
		e.edit(node.Content[i], before[i], after[index])
		next = index + 1
	}
	var elements []string
	for _, element := range after[next:] {
		elements = append(elements, e.flowText(element, layout))
	}
	e.appendFlow(node, elements, layout)
}

// flowLayout is the format of a collection in flow style.
type flowLayout struct {
	lines  bool // whether elements are on lines of their own
	indent int  // of elements
	outer  int  // of the closing bracket
}

func (l flowLayout) separator() string {
	if l.lines {
		return "\n" + strings.Repeat(" ", l.indent)
	}
	return " "
}

// flowLayout returns the format of a collection. An empty one gets lines in JSON with a line for each member.
func (e *textEditor) flowLayout(node *yaml.Node) flowLayout {
	open, closing := e.offset(node), e.flowEnd(node)
	inside := e.text[min(open+1, closing):closing]
	l := flowLayout{outer: indentOf(e.lineText(e.lineAt(closing)))}
	l.indent = l.outer + e.style.indent
	if len(node.Content) == 0 {
		l.lines = e.isJSON && !bytes.ContainsAny(e.text[e.lines[e.lineAt(open)]:open], "{[,")
		return l
	}
	tail := inside[len(bytes.TrimRight(inside, " \t\r\n")):]
	if l.lines = bytes.ContainsRune(tail, '\n'); l.lines {
		l.indent = indentOf(e.lineText(node.Content[0].Line - 1))
	}
	return l
}

// appendFlow inserts texts before the closing bracket.
func (e *textEditor) appendFlow(node *yaml.Node, texts []string, layout flowLayout) {
	if len(texts) == 0 || e.err != nil {
		return
	}
	closing := e.flowEnd(node)
	start := e.offset(node) + 1
	inside := bytes.TrimRight(e.text[start:closing], " \t\r\n")
	text := strings.Join(texts, ","+layout.separator())
	switch {
	case len(node.Content) == 0 && layout.lines:
		e.replace(start, closing, layout.separator()+text+"\n"+strings.Repeat(" ", layout.outer))
		return
	case len(node.Content) == 0:
		e.replace(start, closing, text)
		return
	case bytes.HasSuffix(inside, []byte(",")):
		text = layout.separator() + text
	default:
		text = "," + layout.separator() + text
	}
	e.replace(start+len(inside), start+len(inside), text)
}

func (e *textEditor) flowMember(key string, value any, layout flowLayout) string {
	if e.isJSON {
		return e.flowText(key, layout) + ": " + e.flowText(value, layout)
	}
	text := e.style.flow(map[string]any{key: value})
	return strings.TrimSuffix(strings.TrimPrefix(text, "{"), "}")
}

// flowText returns a value in flow style.
func (e *textEditor) flowText(value any, layout flowLayout) string {
	if !e.isJSON {
		return e.style.flow(value)
	}
	prefix, step := "", ""
	if layout.lines {
		prefix, step = strings.Repeat(" ", layout.indent), strings.Repeat(" ", e.style.indent)
	}
	return string(encodeJSON(value, prefix, step))
}

// encodeJSON returns JSON, on several lines if step is not empty.
func encodeJSON(value any, prefix, step string) []byte {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent(prefix, step)
	_ = encoder.Encode(value) // a decoded value can be encoded
	return bytes.TrimSpace(text.Bytes())
}

// flowEnd returns the offset of the closing bracket of a collection in flow style.
func (e *textEditor) flowEnd(node *yaml.Node) int {
	start := e.offset(node)
	if start >= len(e.text) || e.text[start] != '{' && e.text[start] != '[' {
		e.fail() // an anchor or a tag
		return start
	}
	depth := 0
	for at := start; at < len(e.text); at++ {
		switch e.text[at] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return at
			}
		case '"', '\'':
			at = e.quoteEnd(at)
		case '#':
			if strings.IndexByte(" \t\n", e.text[at-1]) >= 0 {
				at += max(0, bytes.IndexByte(e.text[at:], '\n'))
			}
		}
	}
	e.fail()
	return start
}

// quoteEnd returns the offset of the closing quote, or that of a quote inside a plain scalar.
func (e *textEditor) quoteEnd(at int) int {
	quote, before := e.text[at], bytes.TrimRight(e.text[:at], " \t\r\n")
	if len(before) == 0 || strings.IndexByte("{[,:", before[len(before)-1]) < 0 {
		return at
	}
	for i := at + 1; i < len(e.text); i++ {
		switch {
		case quote == '"' && e.text[i] == '\\':
			i++
		case e.text[i] == quote:
			return i // a doubled single quote begins another quoted text
		}
	}
	return at
}

// flowScalarEnd returns the offset after a scalar, or an empty collection, in a collection in flow style.
func (e *textEditor) flowScalarEnd(start int) int {
	for at := start; at < len(e.text); at++ {
		switch e.text[at] {
		case ',', '}', ']', '\n':
			return start + len(bytes.TrimRight(e.text[start:at], " \t\r\n"))
		case '"', '\'':
			at = e.quoteEnd(at)
		}
	}
	e.fail()
	return start
}

func isCollection(value any) bool {
	switch value.(type) {
	case map[string]any, []any:
		return true
	}
	return false
}
