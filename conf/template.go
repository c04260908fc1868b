package conf

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Text is JSON. Where it has holes, they are filled with the defaults of the parameters, and with
// something to look at where there is no default; see Sidecar.Fill.
type Text struct {
	JSON []byte

	template *template // nil: there are no holes
}

// Bytes gives the JSON.
func (t *Text) Bytes() []byte {
	return t.JSON
}

// template is JSON with holes, cut into pieces.
type template struct {
	parts []segment
	// checked tells that not every value makes a valid element.
	checked bool
}

// segment is a piece of JSON or, if need is not negative, a hole for the value of that number.
type segment struct {
	text []byte
	need int
	// bare tells that the value, of type int or bool, is the whole leaf. Otherwise it is a piece
	// of a string.
	bare bool
	// path is that of the leaf with the hole.
	path string
}

// fill gives the JSON with these values. Whatever a value holds, it stays inside its string.
func (t *template) fill(values []string) []byte {
	size := 0
	for i := range t.parts {
		if p := &t.parts[i]; p.need < 0 {
			size += len(p.text)
		} else {
			size += len(values[p.need]) + 2
		}
	}
	text := make([]byte, 0, size)
	for i := range t.parts {
		switch p := &t.parts[i]; {
		case p.need < 0:
			text = append(text, p.text...)
		case p.bare:
			text = append(text, values[p.need]...)
		default:
			text = appendEscaped(text, values[p.need])
		}
	}
	return text
}

// needs are the values that stand at or below a path, or anywhere if it is empty.
func (t *template) needs(path string) []int {
	var found []int
	for i := range t.parts {
		p := &t.parts[i]
		if p.need >= 0 && (path == "" || p.path == path || strings.HasPrefix(p.path, path+".")) && !slices.Contains(found, p.need) {
			found = append(found, p.need)
		}
	}
	return found
}

// appendEscaped appends what stands between the quotes of a JSON string.
func appendEscaped(text []byte, value string) []byte {
	start := len(text)
	text, _ = jsontext.AppendQuote(text, value) // load and the decoder of reviews have seen to UTF-8
	return slices.Delete(text, start, start+1)[:len(text)-2]
}

// needs are the values that a definition wants: its parameters, then the fields of the pod that it
// mentions, in an order that depends on the definition alone.
type needs struct {
	parameters []Parameter // by name
	fields     []PodField
	uses       []int          // how many holes there are for each
	numbers    map[string]int // by what stands between the braces
	round      int            // which candidates stand for what is not known; 0: see stand
}

// newNeeds takes the parameters as far as they can be read; validate finds what is wrong with them.
func newNeeds(parameters map[string]parameter) *needs {
	n := &needs{numbers: make(map[string]int)}
	for i, name := range slices.Sorted(maps.Keys(parameters)) {
		p := parameters[name]
		n.parameters = append(n.parameters, p.compiled(name))
		n.uses = append(n.uses, 0)
		n.numbers[name] = i
	}
	return n
}

// number tells which value stands for a name between braces, if any. It is not ok for a name
// that begins as a field of the pod and is none.
func (n *needs) number(name string) (number int, found, ok bool) {
	if number, found = n.numbers[name]; found || !strings.HasPrefix(name, podPrefix) {
		return number, found, true
	}
	f, err := parsePodField(name)
	if err != nil {
		return 0, false, false
	}
	number = len(n.parameters) + len(n.fields)
	n.fields, n.uses = append(n.fields, f), append(n.uses, 0)
	n.numbers[name] = number
	return number, true, true
}

// stand gives what stands in a hole while nobody has filled it, and whether an author's default
// says so.
func (n *needs) stand(number int) (value string, byDefault bool) {
	if number < len(n.parameters) && n.parameters[number].Default != nil {
		return *n.parameters[number].Default, true
	}
	if n.round > 0 {
		if tried := n.candidates(number); len(tried) > 0 {
			return tried[n.round%len(tried)], false
		}
	}
	if number >= len(n.parameters) {
		return "x", false
	}
	p := &n.parameters[number]
	switch {
	case p.Enum != nil:
		return p.Enum[0], false
	case p.Min != "" || p.Max != "":
		return cmp.Or(p.Min, p.Max), false
	case p.Type == BoolParameter:
		return "false", false
	case p.Type == StringParameter:
		return "x", false
	}
	return "1", false
}

// piece is a piece of a text as it was written: a literal, or a hole.
type piece struct {
	literal string
	need    int // negative: a literal
}

// mostName is the length of the longest name between braces, that of an annotation of the pod.
const mostName = mostKey + len("pod.annotations.")

// split cuts a text at its holes. `${name}` is one if the name is declared or a field of the
// pod, and `$${name}` then stands for that text itself. It gives nil where there is no hole, and
// in bad the first name that begins as a field of the pod and is none.
func (n *needs) split(text string) (pieces []piece, bad string) {
	var literal strings.Builder
	special := false
	for {
		before, after, found := strings.Cut(text, "${")
		name, behind, closed := strings.Cut(after[:min(len(after), mostName+1)], "}")
		if !found {
			break
		}
		number, known, ok := -1, false, true
		if closed {
			number, known, ok = n.number(name)
			behind = after[len(name)+1:]
		}
		unescaped, escaped := strings.CutSuffix(before, "$")
		switch {
		case !ok && !escaped:
			return nil, "${" + name + "}"
		case (known || !ok) && escaped:
			literal.WriteString(unescaped + "${" + name + "}")
			special, text = true, behind
		case known:
			literal.WriteString(before)
			pieces = append(pieces, piece{literal: literal.String(), need: -1}, piece{need: number})
			literal.Reset()
			special, text = true, behind
		default:
			literal.WriteString(before + "${")
			text = after
		}
	}
	if !special {
		return nil, ""
	}
	literal.WriteString(text)
	return append(pieces, piece{literal: literal.String(), need: -1}), ""
}

// templateWriter writes JSON as encoder.json does, and cuts it at the holes.
type templateWriter struct {
	encoder *encoder
	needs   *needs
	bare    map[string]bool // the leaves that are no strings, by path
	made    template
	text    []byte
}

// write appends the value at a path.
func (w *templateWriter) write(path string, value any) {
	switch value := value.(type) {
	case tree:
		w.text = append(w.text, '{')
		for i, key := range slices.Sorted(maps.Keys(value)) {
			if i > 0 {
				w.text = append(w.text, ',')
			}
			w.text = append(append(w.text, w.encoder.json(key)...), ':')
			w.write(path+step(key), value[key])
		}
		w.text = append(w.text, '}')
	case []any:
		w.text = append(w.text, '[')
		for i, element := range value {
			if i > 0 {
				w.text = append(w.text, ',')
			}
			w.write(path+"."+strconv.Itoa(i), element)
		}
		w.text = append(w.text, ']')
	case string:
		w.leaf(path, value)
	default:
		w.text = append(w.text, w.encoder.json(value)...)
	}
}

func (w *templateWriter) leaf(path, text string) {
	pieces, _ := w.needs.split(text)
	if pieces == nil {
		w.text = append(w.text, w.encoder.json(text)...)
		return
	}
	bare := w.bare[path]
	quote := func() {
		if !bare {
			w.text = append(w.text, '"')
		}
	}
	quote()
	for _, p := range pieces {
		if p.need < 0 {
			w.text = append(w.text, unquoted(w.encoder.json(p.literal))...)
			continue
		}
		w.hole(segment{need: p.need, bare: bare, path: path})
		w.made.checked = w.made.checked || !free(path)
	}
	quote()
}

func (w *templateWriter) hole(hole segment) {
	w.made.parts = append(w.made.parts, segment{text: w.text, need: -1}, hole)
	w.needs.uses[hole.need]++
	w.text = nil
}

// done gives the template, or nil if there are no holes.
func (w *templateWriter) done() *template {
	if w.made.parts == nil {
		return nil
	}
	w.made.parts = append(w.made.parts, segment{text: w.text, need: -1})
	return &w.made
}

func unquoted(quoted json.RawMessage) []byte {
	return quoted[1 : len(quoted)-1]
}
