package params

import (
	"cmp"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Scope resolves the names in the placeholders of a definition. A value has the number of its parameter.
type Scope struct {
	// Parameters are the declared ones, sorted by name, and then the implicit ones, in the order in which
	// Parse finds them.
	Parameters []Parameter

	numbers map[string]int // by name
}

// NewScope returns the scope of the declared parameters, which need not be valid. They are not compiled.
func NewScope(declared map[string]Parameter) *Scope {
	s := &Scope{numbers: make(map[string]int, len(declared))}
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		p := declared[name]
		p.Name, p.Type = name, cmp.Or(p.Type, String)
		if inner, wrapped := strings.CutPrefix(string(p.From), "${"); wrapped {
			p.From = PodField(strings.TrimSuffix(inner, "}"))
		}
		s.add(p)
	}
	return s
}

func (s *Scope) add(p Parameter) {
	s.numbers[p.Name] = len(s.Parameters)
	s.Parameters = append(s.Parameters, p)
}

// Declared returns the parameters that are not implicit.
func (s *Scope) Declared() []Parameter {
	first := slices.IndexFunc(s.Parameters, func(p Parameter) bool { return p.Implicit() })
	if first < 0 {
		return s.Parameters
	}
	return s.Parameters[:first]
}

// resolve returns the number of the value of a name. The error is for a name that begins with `pod.` and
// is no field of a pod.
func (s *Scope) resolve(name string) (int, error) {
	if _, found := s.numbers[name]; !found {
		p := Parameter{Name: name, Type: String, From: PodField(name)}
		if err := p.From.validate(); err != nil {
			return 0, err
		}
		s.add(p)
	}
	return s.numbers[name], nil
}

// Text is a string of a definition that has placeholders. It stands in a decoded definition in the
// place of the string.
type Text struct {
	Path *field.Path
	// As is the type of the value that takes the place of the text. The default is a string.
	As Type
	// Required is set if the values of a pod must not make the text empty. A default may.
	Required bool

	// Numbers are the numbers of the values in the text, in their order.
	Numbers []int

	literals []string // before, between and after the values
}

// placeholder matches `${name}` and `$${name}`.
var placeholder = regexp.MustCompile(`\$?\$\{([^{}]+)\}`)

// HasPlaceholders reports whether the string may have placeholders or escaped ones.
func HasPlaceholders(text string) bool {
	return strings.Contains(text, "${")
}

// Parse returns the string as a Text, or nil if it has no placeholder. `${name}` is one if the name is
// that of a parameter or of a field of the pod; then `$${name}` is the literal `${name}`. The error is
// for a name that begins with `pod.` and is no field of a pod.
func (s *Scope) Parse(path *field.Path, text string) (*Text, error) {
	t := &Text{Path: path}
	var literal strings.Builder
	end, escapes := 0, false
	for _, match := range placeholder.FindAllStringSubmatchIndex(text, -1) {
		name := text[match[2]:match[3]]
		if _, known := s.numbers[name]; !known && !strings.HasPrefix(name, podPrefix) {
			continue
		}
		literal.WriteString(text[end:match[0]])
		end = match[1]
		if escaped := match[2]-match[0] == len("$${"); escaped {
			literal.WriteString(text[match[0]+1 : end])
			escapes = true
			continue
		}
		number, err := s.resolve(name)
		if err != nil {
			return nil, err
		}
		t.literals, t.Numbers = append(t.literals, literal.String()), append(t.Numbers, number)
		literal.Reset()
	}
	if len(t.Numbers) == 0 && !escapes {
		return nil, nil //nolint:nilnil // documented
	}
	literal.WriteString(text[end:])
	t.literals = append(t.literals, literal.String())
	return t, nil
}

// Whole returns the type of the parameter that is the whole text. Other texts are a String.
func (s *Scope) Whole(t *Text) Type {
	if t.whole() {
		return s.Parameters[t.Numbers[0]].Type
	}
	return String
}

// whole reports whether the text is a value with nothing beside it.
func (t *Text) whole() bool {
	return len(t.Numbers) == 1 && t.literals[0] == "" && t.literals[1] == ""
}

// Bounded reports whether each placeholder of the text is a parameter with a pattern or an enum.
func (s *Scope) Bounded(t *Text) bool {
	return !slices.ContainsFunc(t.Numbers, func(number int) bool {
		p := &s.Parameters[number]
		return p.Pattern == "" && p.Enum == nil
	})
}

// Fill returns the text with the values. A value that does not have the type As stays a string.
func (t *Text) Fill(values []string) any {
	var text strings.Builder
	text.WriteString(t.literals[0])
	for i, number := range t.Numbers {
		text.WriteString(values[number])
		text.WriteString(t.literals[i+1])
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
		for _, number := range t.Numbers {
			size += sizes[number]
		}
	}
	return size
}
