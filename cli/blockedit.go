package cli

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// editMapping edits a mapping in block style.
func (e *textEditor) editMapping(node *yaml.Node, before, after map[string]any) {
	written := make(map[string]bool)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		written[key.Value] = true
		was, is := before[key.Value], after[key.Value]
		if _, found := after[key.Value]; !found && key.Tag != "!!merge" {
			e.fail() // sidecars remove no fields
			return
		}
		if isFilled(was) && isFilled(is) && len(value.Content) > 0 {
			e.edit(value, was, is)
		} else if !reflect.DeepEqual(was, is) {
			e.replaceEntry(key, value, is)
		}
	}
	end := e.blockEnd(node, node.Column-1)
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if !written[name] {
			e.insertLines(end, node.Column-1, e.style.block(map[string]any{name: after[name]}))
		}
	}
}

// replaceEntry replaces the value of a key. A comment on its line stays.
func (e *textEditor) replaceEntry(key, value *yaml.Node, is any) {
	if value.Kind == yaml.AliasNode {
		e.fail()
		return
	}
	text := e.style.block(map[string]any{key.Value: is})
	first, rest, _ := strings.Cut(text, "\n")
	if comment := key.LineComment + value.LineComment; comment != "" {
		first += " " + comment
	}
	text = indented(first+"\n"+rest, key.Column-1)
	start, line := e.offset(key), key.Line-1
	if value.Tag != "!!null" {
		line = e.blockEnd(value, key.Column-1) - 1
	}
	if e.err == nil {
		e.replace(start, e.lines[line]+len(e.lineText(line)), strings.TrimSpace(text))
	}
}

// editSequence edits a sequence in block style.
func (e *textEditor) editSequence(node *yaml.Node, before, after []any) {
	starts := e.elementLines(node)
	if len(starts) != len(before) || len(node.Content) != len(before) {
		e.fail()
		return
	}
	next := 0
	for i, index := range alignLists(before, after) {
		if index < 0 {
			end := e.blockEnd(node.Content[i], node.Column-1)
			e.replace(e.lines[starts[i]], e.lineStart(end), "")
			continue
		}
		e.insertElements(e.aboveComments(starts[i], node.Column-1), node.Column-1, after[next:index])
		e.edit(node.Content[i], before[i], after[index])
		next = index + 1
	}
	e.insertElements(e.blockEnd(node, node.Column-1), node.Column-1, after[next:])
}

func (e *textEditor) insertElements(line, indent int, elements []any) {
	if len(elements) > 0 {
		e.insertLines(line, indent, e.style.block(elements))
	}
}

// elementLines returns the lines that begin with an element of a sequence in block style.
func (e *textEditor) elementLines(node *yaml.Node) []int {
	var lines []int
	end := e.blockEnd(node, node.Column-1)
	for line := node.Line - 1; line < end; line++ {
		if text := e.lineText(line); indentOf(text) == node.Column-1 && isElement(text) {
			lines = append(lines, line)
		}
	}
	return lines
}

// isElement reports whether a line begins with the indicator of an element.
func isElement(line string) bool {
	line = strings.TrimLeft(line, " ")
	return line == "-" || strings.HasPrefix(line, "- ") || strings.HasPrefix(line, "-\t")
}

// aboveComments returns the first line of the comments above a line.
func (e *textEditor) aboveComments(line, indent int) int {
	for line > 0 {
		text := e.lineText(line - 1)
		if !strings.HasPrefix(strings.TrimSpace(text), "#") || indentOf(text) < indent {
			break
		}
		line--
	}
	return line
}

// blockEnd returns the line after a value in a block of this indent. Blank lines and comments after it do not belong
// to it, unless they are indented more than the block.
func (e *textEditor) blockEnd(node *yaml.Node, indent int) int {
	last := node
	for last.Style&yaml.FlowStyle == 0 && len(last.Content) > 0 {
		last = last.Content[len(last.Content)-1]
	}
	end := last.Line
	if last.Style&yaml.FlowStyle != 0 {
		end = e.lineAt(e.flowEnd(last)) + 1
	}
	for line := end; line < len(e.lines); line++ {
		text := e.lineText(line)
		trimmed, inside := strings.TrimSpace(text), indentOf(text) > indent
		switch {
		case trimmed != "" && inside:
			end = line + 1
		case trimmed != "" && trimmed[0] != '#':
			return end
		}
	}
	return end
}

// insertLines inserts text before a line, which may be the end of the text.
func (e *textEditor) insertLines(line, indent int, text string) {
	text = indented(text, indent)
	at := e.lineStart(line)
	if at == len(e.text) && at > 0 && e.text[at-1] != '\n' {
		text = "\n" + strings.TrimSuffix(text, "\n")
	}
	e.replace(at, at, text)
}

// lineStart returns the offset of a line, or the end of the text.
func (e *textEditor) lineStart(line int) int {
	if line < len(e.lines) {
		return e.lines[line]
	}
	return len(e.text)
}

// indented indents each line that is not empty.
func indented(text string, indent int) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" {
			out.WriteString(strings.Repeat(" ", indent))
		}
		out.WriteString(line)
	}
	return out.String()
}

// isFilled reports whether a value is a collection that is not empty.
func isFilled(value any) bool {
	switch v := value.(type) {
	case map[string]any:
		return len(v) > 0
	case []any:
		return len(v) > 0
	}
	return false
}
