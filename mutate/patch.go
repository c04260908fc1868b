package mutate

import (
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// patch writes the operations of a JSON Patch (RFC 6902), without the closing bracket of their list.
type patch struct {
	buffer []byte
}

// The operations in use.
const (
	opAdd     = "add"
	opReplace = "replace"
	opRemove  = "remove"
)

// begin writes an operation up to its value. The caller writes the value and calls end. The path
// comes in parts so that callers need not concatenate them.
func (w *patch) begin(op string, path []string, more ...string) {
	separator := `,{"op":"`
	if len(w.buffer) == 0 {
		separator = `[{"op":"`
	}
	w.buffer = append(append(w.buffer, separator...), op...)
	w.buffer = append(w.buffer, `","path":"`...)
	for _, parts := range [][]string{path, more} {
		for _, part := range parts {
			w.buffer = append(w.buffer, part...)
		}
	}
	w.buffer = append(w.buffer, '"')
	if op != opRemove {
		w.buffer = append(w.buffer, `,"value":`...)
	}
}

func (w *patch) end() {
	w.buffer = append(w.buffer, '}')
}

func (w *patch) remove(path ...string) {
	w.begin(opRemove, path)
	w.end()
}

// add writes an operation that adds a member whose value is JSON.
func (w *patch) add(value []byte, path ...string) {
	w.begin(opAdd, path)
	w.buffer = append(w.buffer, value...)
	w.end()
}

// setString writes an operation whose value is a string.
func (w *patch) setString(op, value string, path ...string) {
	w.begin(op, path)
	w.quote(value)
	w.end()
}

// quote writes text as a JSON string. The text must be valid UTF-8, as texts of decoded JSON and
// of definitions are.
func (w *patch) quote(text string) {
	w.buffer, _ = jsontext.AppendQuote(w.buffer, text)
}

// addAll adds elements to a list: front before its elements and back after them. If the list does
// not exist or is null, one operation creates it.
func addAll[E any](w *patch, exists bool, front, back []E, write func(*patch, E), path ...string) {
	if len(front)+len(back) == 0 {
		return
	}
	if !exists {
		w.begin(opAdd, path)
		writeList(w, front, back, write)
		w.end()
		return
	}
	for i, element := range front {
		w.begin(opAdd, path, "/", strconv.Itoa(i))
		write(w, element)
		w.end()
	}
	for _, element := range back {
		w.begin(opAdd, path, "/-")
		write(w, element)
		w.end()
	}
}

// writeList writes the elements of two lists as one list. At least one must not be empty.
func writeList[E any](w *patch, front, back []E, write func(*patch, E)) {
	w.buffer = append(w.buffer, '[')
	for _, list := range [][]E{front, back} {
		for _, element := range list {
			write(w, element)
			w.buffer = append(w.buffer, ',')
		}
	}
	w.buffer[len(w.buffer)-1] = ']'
}

// escape escapes a key for a JSON Pointer (RFC 6901, section 3).
func escape(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1")
}
