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

// Scope resolves the names in the placeholders of a definition. The number of a parameter is its index
// in Parameters, and lists of values have the same order.
type Scope struct {
	// Parameters has the declared parameters, sorted by name, then the implicit ones in the order in
	// which Parse finds them.
	Parameters []Parameter

	declared int            // how many of Parameters are declared
	numbers  map[string]int // by name
}

// NewScope returns a scope with the declared parameters. It neither validates nor compiles them.
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
	s.declared = len(s.Parameters)
	return s
}

func (s *Scope) add(p Parameter) {
	s.numbers[p.Name] = len(s.Parameters)
	s.Parameters = append(s.Parameters, p)
}

// Declared returns the declared parameters.
func (s *Scope) Declared() []Parameter {
	return s.Parameters[:s.declared]
}

// resolve returns the number of the parameter with the name. It adds an implicit parameter for a field
// of the pod, and fails for any other unknown name.
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

// Text is a string with placeholders. It replaces the string in a decoded definition.
type Text struct {
	Path *field.Path
	// As is the type of the filled text: Int, Bool, or else a string.
	As Type
	// Required is set if the values of a pod must not make the text empty. Defaults may.
	Required bool

	// Numbers are the numbers of the parameters in the text, in the order of its placeholders.
	Numbers []int

	literals []string // before, between and after the placeholders, so one more than Numbers
}

// placeholder matches `${name}` and `$${name}`.
var placeholder = regexp.MustCompile(`\$?\$\{([^{}]+)\}`)

// HasPlaceholders reports whether Parse may return a Text for the string. It is a fast check.
func HasPlaceholders(text string) bool {
	return strings.Contains(text, "${")
}

// Parse returns the string as a Text, or nil if it has neither placeholders nor escapes. `${name}` is a
// placeholder if the name is declared or begins with `pod.`; then `$${name}` is an escape and becomes
// the literal `${name}`. Parse fails if the name of a placeholder begins with `pod.` but is not a field
// of the pod.
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

// Whole returns the type of the parameter if the text is a single placeholder, else String.
func (s *Scope) Whole(t *Text) Type {
	if t.whole() {
		return s.Parameters[t.Numbers[0]].Type
	}
	return String
}

// whole reports whether the text is a single placeholder without other text.
func (t *Text) whole() bool {
	return len(t.Numbers) == 1 && t.literals[0] == "" && t.literals[1] == ""
}

// Bounded reports whether each parameter in the text has a pattern or an enum.
func (s *Scope) Bounded(t *Text) bool {
	return !slices.ContainsFunc(t.Numbers, func(number int) bool {
		p := &s.Parameters[number]
		return p.Pattern == "" && p.Enum == nil
	})
}

// AtLeast reports whether the text is a single placeholder for an integer with a max, and with a min that is not less
// than the given one.
func (s *Scope) AtLeast(t *Text, least string) bool {
	if s.Whole(t) != Int {
		return false
	}
	p := &s.Parameters[t.Numbers[0]]
	return p.Min.text != "" && p.Max.text != "" && compare(p.Min.text, least) >= 0
}

// Fill returns the text with the values in place of its placeholders. It returns a string if the result
// does not have the type As.
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

// Substitute returns a copy of a decoded value in which each Text is filled with the values. It does not
// change the original.
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

// MaxSize is the limit of Size: etcd rejects objects above 1.5 MiB.
const MaxSize = 3 << 19

// Size returns how many bytes of JSON the values take in all texts, once for each placeholder.
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
