package conf

import (
	"bytes"
	"iter"
	"regexp"
	"strings"
)

// These match an entry `name: logger:v1` in block or flow style, with or without quotes. The closing quote may
// be missing, and there may be white space around the second colon.
var (
	nameKey   = regexp.MustCompile(`^["']?name["']?\s*:`)
	nameValue = regexp.MustCompile(`^\s*(?:[!&]\S+\s+)*["']?([\w.-]+(?:\s*:\s*[\w.-]+)?)["']?\s*(?:[,}#\n]|$)`)
)

// maxScannedEntry bounds the search in one entry, so that the time of a scan is linear in the size of the
// document. A ref with quotes, a tag and an anchor is shorter.
const maxScannedEntry = 512

// scanName returns the ref in the first top-level name of a document, whether or not the document is
// valid YAML. It returns the zero Ref if it finds none.
func scanName(content []byte) Ref {
	for entry := range topLevel(content) {
		entry = entry[:min(len(entry), maxScannedEntry)]
		key := nameKey.Find(entry)
		if key == nil {
			continue
		}
		value := nameValue.FindSubmatch(entry[len(key):])
		if value == nil {
			break
		}
		ref, _ := ParseRef(strings.Join(strings.Fields(string(value[1])), "")) // the zero Ref if it fails
		return ref
	}
	return Ref{}
}

// topLevel yields the possible top-level entries of a document. In flow style, each extends to the end of the
// document.
func topLevel(content []byte) iter.Seq[[]byte] {
	for line := range bytes.Lines(content) {
		if blank(line) {
			continue
		}
		text := bytes.TrimLeft(line, " \t")
		if text[0] == '{' {
			return flowEntries(content)
		}
		return blockEntries(content, len(line)-len(text))
	}
	return func(func([]byte) bool) {}
}

// blockEntries yields the lines that are not indented further than the first one.
func blockEntries(content []byte, indent int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for line := range bytes.Lines(content) {
			text := bytes.TrimLeft(line, " \t")
			if len(line)-len(text) <= indent && !yield(text) {
				return
			}
		}
	}
}

// flowEntries yields the text after each `{` and `,` of the outermost braces.
func flowEntries(content []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		s := flowScanner{previous: ','}
		for i, c := range content {
			if s.scan(c) && !yield(bytes.TrimLeft(content[i+1:], " \t\r\n")) {
				return
			}
		}
	}
}

// flowScanner tracks the quotes and braces of a document in flow style.
type flowScanner struct {
	depth    int
	quote    byte // the quote character in a quoted text
	escaped  bool // the next byte of a quoted text is escaped
	previous byte // the last byte that is not white space
}

// scan processes one byte. It reports whether an entry of the outermost braces follows.
func (s *flowScanner) scan(c byte) bool {
	switch {
	case s.escaped:
		s.escaped = false
		return false
	case s.quote != 0:
		s.escaped = s.quote == '"' && c == '\\'
		if c == s.quote {
			s.quote = 0
		}
		s.previous = c
		return false
	case (c == '"' || c == '\'') && strings.IndexByte("{[,:", s.previous) >= 0:
		s.quote = c
	case c == '{' || c == '[':
		s.depth++
	case c == '}' || c == ']':
		s.depth--
	}
	if strings.IndexByte(" \t\r\n", c) < 0 {
		s.previous = c
	}
	return s.depth == 1 && (c == '{' || c == ',')
}
