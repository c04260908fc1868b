package params

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Scope resolves the names in the placeholders of a definition, and numbers the values that it needs:
// those of Parameters, then those of PodFields.
type Scope struct {
	Parameters []Parameter // sorted by name
	PodFields  []PodField  // in the order in which Parse finds them

	numbers map[string]int // by name
}

// NewScope returns the scope of the declared parameters, which need not be valid.
func NewScope(declared map[string]Declaration) *Scope {
	s := &Scope{numbers: make(map[string]int, len(declared))}
	for i, name := range slices.Sorted(maps.Keys(declared)) {
		d := declared[name]
		s.Parameters = append(s.Parameters, d.Parameter(name))
		s.numbers[name] = i
	}
	return s
}

// lookup returns the number of the value of a name. If a field of the pod is not numbered yet, it is
// found but gets a number only if it is used. The error is for a name that begins with `pod.` and is
// no field of a pod.
func (s *Scope) lookup(name string, used bool) (number int, found bool, err error) {
	if number, found = s.numbers[name]; found || !strings.HasPrefix(name, podPrefix) {
		return number, found, nil
	}
	f, err := parsePodField(name)
	if err != nil || !used {
		return 0, err == nil, err
	}
	number = len(s.Parameters) + len(s.PodFields)
	s.PodFields = append(s.PodFields, f)
	s.numbers[name] = number
	return number, true, nil
}

// parameter returns the parameter that has the value of that number, or nil for a field of the pod.
func (s *Scope) parameter(number int) *Parameter {
	if number >= len(s.Parameters) {
		return nil
	}
	return &s.Parameters[number]
}

// Text is a string of a definition that has placeholders. It stands in a decoded definition in the
// place of the string.
type Text struct {
	Path *field.Path
	// As is the type of the value that takes the place of the text. The default is a string.
	As Type
	// Required is set if the values of a pod must not make the text empty. A default may.
	Required bool

	parts []part
}

// part is a literal or, if number is not negative, a placeholder.
type part struct {
	literal string
	number  int
}

// maxPlaceholder is the length of the longest name in a placeholder, that of an annotation of the pod.
const maxPlaceholder = len("pod.annotations.") + 253 + len("/") + 63

// HasPlaceholders reports whether the string may have placeholders or escaped ones.
func HasPlaceholders(text string) bool {
	return strings.Contains(text, "${")
}

// Parse returns the string as a Text, or nil if it has no placeholder. `${name}` is one if the name is
// that of a parameter or of a field of the pod; then `$${name}` is the literal `${name}`. The error is
// for a name that begins with `pod.` and is no field of a pod.
func (s *Scope) Parse(path *field.Path, text string) (*Text, error) {
	var parts []part
	var literal strings.Builder
	special := false
	for {
		before, after, found := strings.Cut(text, "${")
		if !found {
			break
		}
		name, _, closed := strings.Cut(after[:min(len(after), maxPlaceholder+1)], "}")
		unescaped, escaped := strings.CutSuffix(before, "$")
		number, known, err := 0, false, error(nil)
		if closed {
			number, known, err = s.lookup(name, !escaped)
		}
		switch {
		case err != nil && !escaped:
			return nil, err
		case escaped && (known || err != nil):
			literal.WriteString(unescaped + "${" + name + "}")
		case known:
			literal.WriteString(before)
			parts = append(parts, part{literal: literal.String(), number: -1}, part{number: number})
			literal.Reset()
		default:
			literal.WriteString(before + "${")
			text = after
			continue
		}
		special, text = true, after[len(name)+1:]
	}
	if !special {
		return nil, nil //nolint:nilnil // documented
	}
	literal.WriteString(text)
	return &Text{Path: path, parts: append(parts, part{literal: literal.String(), number: -1})}, nil
}

// Whole returns the type of the parameter that is the whole text. Other texts are a String.
func (s *Scope) Whole(t *Text) Type {
	if number, whole := t.whole(); whole && number < len(s.Parameters) {
		return s.Parameters[number].Type
	}
	return String
}

// Bounded reports whether each placeholder of the text is a parameter with a pattern or an enum.
func (s *Scope) Bounded(t *Text) bool {
	for _, number := range t.Numbers() {
		if p := s.parameter(number); p == nil || p.Pattern == "" && p.Enum == nil {
			return false
		}
	}
	return true
}

// whole returns the number of the value that is the whole text.
func (t *Text) whole() (number int, whole bool) {
	if len(t.parts) == 3 && t.parts[0].literal == "" && t.parts[2].literal == "" {
		return t.parts[1].number, true
	}
	return 0, false
}

// Numbers returns the numbers of the values in the text, each once.
func (t *Text) Numbers() []int {
	var numbers []int
	for _, p := range t.parts {
		if p.number >= 0 && !slices.Contains(numbers, p.number) {
			numbers = append(numbers, p.number)
		}
	}
	return numbers
}

// Fill returns the text with the values. A value that does not have the type As stays a string.
func (t *Text) Fill(values []string) any {
	var text strings.Builder
	for _, p := range t.parts {
		text.WriteString(p.literal)
		if p.number >= 0 {
			text.WriteString(values[p.number])
		}
	}
	filled := text.String()
	switch {
	case t.As == Int && Int.check(filled) == nil:
		return json.Number(filled)
	case t.As == Bool && Bool.check(filled) == nil:
		return filled == "true"
	}
	return filled
}

// Substitute returns a copy of a decoded value in which each Text is replaced by its string, number or
// boolean with the values. The value itself is not changed.
func Substitute(value any, values []string) any {
	switch value := value.(type) {
	case map[string]any:
		filled := make(map[string]any, len(value))
		for key, member := range value {
			filled[key] = Substitute(member, values)
		}
		return filled
	case []any:
		filled := make([]any, len(value))
		for i, element := range value {
			filled[i] = Substitute(element, values)
		}
		return filled
	case *Text:
		return value.Fill(values)
	}
	return value
}

// MaxSize is the limit of Size. An API server stores no pod above it.
const MaxSize = 3 << 19

// Size returns how many bytes of JSON the values take in all texts.
func Size(texts []*Text, values []string) int {
	sizes := make([]int, len(values))
	var quoted []byte
	for i, value := range values {
		quoted, _ = jsontext.AppendQuote(quoted[:0], value)
		sizes[i] = len(quoted) - len(`""`)
	}
	size := 0
	for _, t := range texts {
		for _, p := range t.parts {
			if p.number >= 0 {
				size += sizes[p.number]
			}
		}
	}
	return size
}
