package mutate

import (
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// patch is a JSON Patch (RFC 6902) in the making. The zero patch is empty.
type patch struct {
	buffer []byte
}

// bytes ends the patch, which has at least one operation.
func (w *patch) bytes() []byte {
	return append(w.buffer, ']')
}

// begin writes an operation up to its value, which must follow, and then end. The path
// comes in parts, so that nobody has to join them.
func (w *patch) begin(op string, path ...string) {
	w.open(op, path)
	w.value(op)
}

// open writes an operation up to its path, which may go on.
func (w *patch) open(op string, path []string) {
	separator := `,{"op":"`
	if len(w.buffer) == 0 {
		separator = `[{"op":"`
	}
	w.buffer = append(append(w.buffer, separator...), op...)
	w.buffer = append(w.buffer, `","path":"`...)
	for _, part := range path {
		w.buffer = append(w.buffer, part...)
	}
}

// value ends the path.
func (w *patch) value(op string) {
	w.buffer = append(w.buffer, '"')
	if op != opRemove {
		w.buffer = append(w.buffer, `,"value":`...)
	}
}

func (w *patch) end() {
	w.buffer = append(w.buffer, '}')
}

// The operations in use.
const (
	opAdd     = "add"
	opReplace = "replace"
	opRemove  = "remove"
)

func (w *patch) remove(path ...string) {
	w.begin(opRemove, path...)
	w.end()
}

// set writes an operation whose value is JSON already.
func (w *patch) set(op, value string, path ...string) {
	w.begin(op, path...)
	w.buffer = append(w.buffer, value...)
	w.end()
}

// quote appends text as a JSON string. The text is valid UTF-8: it came out of JSON or was
// validated when it was loaded.
func (w *patch) quote(text string) {
	w.buffer, _ = jsontext.AppendQuote(w.buffer, text)
}

// addAll adds elements to a list, some in front of what it has and some behind that. Where
// there is no list yet, or a null in its place, one operation makes it.
func addAll[E any](w *patch, exists bool, front, back []E, write func(*patch, *E), path ...string) {
	if len(front)+len(back) == 0 {
		return
	}
	if !exists {
		w.begin(opAdd, path...)
		writeList(w, front, back, write)
		w.end()
		return
	}
	for i := range front {
		addOne(w, path, strconv.Itoa(i), &front[i], write)
	}
	for i := range back {
		addOne(w, path, "-", &back[i], write)
	}
}

func addOne[E any](w *patch, path []string, at string, element *E, write func(*patch, *E)) {
	w.open(opAdd, path)
	w.buffer = append(append(w.buffer, '/'), at...)
	w.value(opAdd)
	write(w, element)
	w.end()
}

// writeList appends the elements of two lists as one, which is not empty.
func writeList[E any](w *patch, a, b []E, write func(*patch, *E)) {
	w.buffer = append(w.buffer, '[')
	for i := range a {
		write(w, &a[i])
		w.buffer = append(w.buffer, ',')
	}
	for i := range b {
		write(w, &b[i])
		w.buffer = append(w.buffer, ',')
	}
	w.buffer[len(w.buffer)-1] = ']'
}

// element is anything that has its JSON already.
type element[E any] interface {
	*E
	Bytes() []byte
}

func writeText[E any, P element[E]](w *patch, e *E) {
	w.buffer = append(w.buffer, P(e).Bytes()...)
}

// escape makes a key part of a JSON Pointer (RFC 6901, section 3).
func escape(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1")
}
