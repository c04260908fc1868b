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
	nameValue = regexp.MustCompile(`^\s*(?:[!&]\S+\s+)*["']?([\w.-]+(?:\s*:\s*[\w.-]*)?)["']?\s*(?:[,}#\n]|$)`)
)

// maxScannedEntry bounds the search in one entry, so that the time of a scan is linear in the size of the
// document. A ref with quotes, a tag and an anchor is shorter.
const maxScannedEntry = 512

// firstText matches the first line of a document that has more than a comment or a directive.
var firstText = regexp.MustCompile(`(?m)^([ \t]*)([^\s#%])`)

// scanName returns the ref in the first top-level name of a document, whether or not the document is
// valid YAML. It returns the zero Ref if it finds none.
func scanName(content []byte) Ref {
	first := firstText.FindSubmatch(content)
	if first == nil {
		return Ref{}
	}
	entries := blockEntries(content, len(first[1]))
	if first[2][0] == '{' {
		entries = flowEntries(content)
	}
	for entry := range entries {
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

// quotedText matches a text in quotes. The closing one may be missing.
var quotedText = regexp.MustCompile(`^(?s:"(?:[^"\\]|\\.)*"?|'[^']*'?)`)

// flowEntries yields the text after each `{` and `,` of the outermost braces, up to the end of the document.
func flowEntries(content []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		depth := 0
		for len(content) > 0 {
			first, length := content[0], 1
			switch first {
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			case ',', ':', '\n':
			case '"', '\'':
				length = len(quotedText.Find(content))
			default:
				length = len(content) - len(bytes.TrimLeftFunc(content, isPlain))
			}
			content = bytes.TrimLeft(content[length:], " \t\r\n")
			if depth == 1 && (first == '{' || first == ',') && !yield(content) {
				return
			}
		}
	}
}

// isPlain reports whether a character continues a text without quotes.
func isPlain(r rune) bool {
	return !strings.ContainsRune("{}[],:\n", r)
}
