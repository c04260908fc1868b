package conf

import (
	"bytes"
	"cmp"
	"iter"
	"regexp"
	"strings"
	"time"
)

// compareAge orders documents by their right to a ref: files before ConfigMaps, an older ConfigMap
// before a younger one, then by origin. It uses nothing but the documents, so that all replicas agree.
// A creationTimestamp has whole seconds: of two ConfigMaps that were created in the same second, the
// one with the lesser name counts as the older one.
func compareAge(a, b Document) int {
	return cmp.Or(
		cmp.Compare(a.Origin.Kind, b.Origin.Kind),
		compareCreated(a.Created, b.Created),
		a.Origin.Compare(b.Origin),
	)
}

// compareCreated orders times of creation. The zero time, of what is not created yet, comes last.
func compareCreated(a, b time.Time) int {
	switch {
	case a.IsZero() == b.IsZero():
		return a.Compare(b)
	case a.IsZero():
		return 1
	default:
		return -1
	}
}

// An entry `name: logger:v1` in block or flow style, with or without quotes. The closing quote may be missing,
// and there may be white space around the second colon.
var (
	nameKey   = regexp.MustCompile(`^["']?name["']?\s*:`)
	nameValue = regexp.MustCompile(`^\s*(?:[!&]\S+\s+)*["']?([\w.-]+(?:\s*:\s*[\w.-]+)?)["']?\s*(?:[,}#\n]|$)`)
)

// longestEntry bounds what is searched of one entry, so that a scan takes time in proportion to the
// document. It is more than a ref with quotes, a tag and an anchor needs.
const longestEntry = 512

// scanName returns the ref in the first top-level name of a document, whether or not the document is
// valid YAML. It returns the zero Ref if it finds none.
func scanName(content []byte) Ref {
	for entry := range topLevel(content) {
		entry = entry[:min(len(entry), longestEntry)]
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

// topLevel yields what may be the top-level entries of a document. In flow style, each extends to
// the end of the document.
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

// blockEntries yields the lines that are indented no further than the first one.
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

// flowEntries yields what follows each `{` and `,` of the outermost braces.
func flowEntries(content []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		flow := flowStyle{previous: ','}
		for i, c := range content {
			if flow.entryAfter(c) && !yield(bytes.TrimLeft(content[i+1:], " \t\r\n")) {
				return
			}
		}
	}
}

// flowStyle is where a scan of YAML in flow style is.
type flowStyle struct {
	depth    int
	quote    byte // that of the text that is open; 0 outside
	escaped  bool
	previous byte // the last character outside quotes that is no white space
}

// entryAfter moves on by one character and reports whether an entry of the outermost braces begins after it.
func (f *flowStyle) entryAfter(c byte) bool {
	if f.quote != 0 {
		f.quoted(c)
		return false
	}
	switch c {
	case ' ', '\t', '\r', '\n':
		return false
	case '"', '\'':
		if strings.IndexByte("{[,:", f.previous) >= 0 { // else it is part of a plain text: it's
			f.quote = c
			return false
		}
	case '{', '[':
		f.depth++
	case '}', ']':
		f.depth--
	}
	f.previous = c
	return f.depth == 1 && (c == '{' || c == ',')
}

// quoted moves on by one character in quotes.
func (f *flowStyle) quoted(c byte) {
	switch {
	case f.escaped:
		f.escaped = false
	case f.quote == '"' && c == '\\':
		f.escaped = true
	case c == f.quote:
		f.quote = 0
	}
}
