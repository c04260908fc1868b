package conf

import (
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// A key of a document may be a secret: `{name: PW, value:s3cr3t}`, without a space after the colon, has the key
// `value:s3cr3t`. Therefore field paths mark each key that does not look like a name, and errors show a question
// mark for it.
const (
	keyMark = "\x01"
	mostKey = 317 // length of the longest key of a label or annotation, 253/63
)

var markedPart = regexp.MustCompile(keyMark + "[^" + keyMark + "]*(" + keyMark + "|$)")

// keyPath is path.Child for a key of the document, which is always marked if hidden is set. A key without a value,
// as in `{name: PW, s3cr3t}`, is not a field. The path may be nil.
func keyPath(path *field.Path, key string, hidden bool) *field.Path {
	if hidden {
		return path.Child(markedKey(key))
	}
	return path.Child(pathKey(key))
}

// member is path.Key for a key of the document.
func member(path *field.Path, key string) *field.Path {
	return path.Key(pathKey(key))
}

// pathKey returns a key as a part of a field path.
func pathKey(key string) string {
	if looksLikeName(key) {
		return key
	}
	return markedKey(key)
}

func markedKey(key string) string {
	return keyMark + strings.ReplaceAll(key, keyMark, "") + keyMark
}

// looksLikeName reports whether the key may be a field, a label or an annotation.
func looksLikeName(key string) bool {
	return len(key) <= mostKey && namePattern.MatchString(key)
}

var (
	namePattern = regexp.MustCompile(`^[\w./-]+$`)
	// fieldPattern matches a field, perhaps misspelled. No field has a digit, but many secrets do.
	fieldPattern = regexp.MustCompile(`^[A-Za-z_-]{1,63}$`)
)

// withoutValue returns the fault without its value, and with a field path that can be shown. Errors may reach
// logs and users other than the author.
func withoutValue(fault *field.Error) *field.Error {
	shown := *fault
	shown.BadValue = field.OmitValueType{}
	shown.Field = shownPath(fault.Field)
	return &shown
}

// shownPath hides the marked keys of a path, and truncates it.
func shownPath(path string) string {
	return clipped(markedPart.ReplaceAllString(path, "?"))
}

// clipped truncates a text to mostPath bytes and an ellipsis.
func clipped(text string) string {
	if len(text) <= mostPath {
		return text
	}
	return strings.ToValidUTF8(text[:mostPath], "") + "..."
}

// afterKey removes a key from the front of a field path, in either form: `.limits` or `[nvidia.com/gpu]`.
func afterKey(path, key string) (rest string, found bool) {
	for _, spelling := range []string{key, markedKey(key)} {
		if rest, found = strings.CutPrefix(path, "["+spelling+"]"); found {
			return rest, true
		}
		rest, found = strings.CutPrefix(strings.TrimPrefix(path, "."), spelling)
		if found && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return rest, true
		}
	}
	return "", false
}
