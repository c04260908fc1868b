package conf

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Parameter is what a pod may set of a sidecar. It is immutable and safe for concurrent use.
type Parameter struct {
	Name string
	Type ParameterType
	// Default is nil where a pod must set the parameter, unless From has a value.
	Default *string
	// From is what the value is taken from where the pod does not set it; zero means nothing.
	From PodField
	// Pattern is as the author wrote it; a value must match it from end to end.
	Pattern string
	// Enum are the values that are allowed; nil means all.
	Enum []string
	// Min and Max are the least and the greatest value; empty means that there is no bound.
	Min, Max string

	pattern *pattern // nil without a pattern, and until the sidecar is encoded
}

// ParameterType is the type of a parameter.
type ParameterType string

// The types. A value is always a text; the others than StringParameter limit what it may be.
const (
	StringParameter   ParameterType = "string"
	IntParameter      ParameterType = "int"
	BoolParameter     ParameterType = "bool"
	QuantityParameter ParameterType = "quantity"
)

// mostQuantity is far beyond the length of any quantity, and mostValue of any parameter. maxEnum is how
// many values an enum may have: each of them is compared.
const (
	mostQuantity = 64
	mostValue    = 16 << 10
	maxEnum      = 100
)

// Check returns which rule of the parameter a value breaks, and what the rule allows. The value is not
// in the error.
func (p *Parameter) Check(value string) error {
	switch broken := p.broken(value); broken {
	case enumRule:
		return fmt.Errorf("is none of %s", p.allowed())
	case patternRule:
		return fmt.Errorf("does not match the pattern %s", p.Pattern)
	case minRule:
		return fmt.Errorf("is less than %s%s", p.Min, otherBound("at most", p.Max))
	case maxRule:
		return fmt.Errorf("is more than %s%s", p.Max, otherBound("at least", p.Min))
	case noRule:
		return nil
	default:
		return errors.New(string(broken))
	}
}

// Steps is about how much work Check does for the value.
func (p *Parameter) Steps(value string) int {
	steps := len(p.Enum)
	if p.pattern != nil && len(value) <= maxMatched {
		steps += p.pattern.steps(value)
	}
	return steps
}

// rule is a rule of a parameter, as the error about a value of the definition itself names it.
type rule string

const (
	noRule      rule = ""
	patternRule rule = "does not match the pattern"
	enumRule    rule = "is not in enum"
	minRule     rule = "is less than min"
	maxRule     rule = "is more than max"
)

// broken returns the first rule that the value breaks.
func (p *Parameter) broken(value string) rule {
	if why := p.unusable(value); why != noRule {
		return why
	}
	if p.Enum != nil && !slices.ContainsFunc(p.Enum, func(allowed string) bool { return p.Type.same(value, allowed) }) {
		return enumRule
	}
	return noRule
}

// unusable returns the first rule other than enum that the value breaks.
func (p *Parameter) unusable(value string) rule {
	limit := mostValue
	if p.pattern != nil {
		limit = maxMatched
	}
	if len(value) > limit {
		return rule(fmt.Sprintf("is longer than %d bytes", limit))
	}
	if err := p.Type.check(value); err != nil {
		return rule(err.Error())
	}
	switch {
	case p.pattern != nil && !p.pattern.match(value):
		return patternRule
	case p.Min != "" && p.Type.compare(value, p.Min) < 0:
		return minRule
	case p.Max != "" && p.Type.compare(value, p.Max) > 0:
		return maxRule
	}
	return noRule
}

// allowed lists the first of the values that are allowed.
func (p *Parameter) allowed() string {
	const most, longest = 10, 64
	var list []string
	for _, value := range p.Enum[:min(len(p.Enum), most)] {
		if len(value) > longest {
			value = strings.ToValidUTF8(value[:longest], "") + "..."
		}
		list = append(list, value)
	}
	if more := len(p.Enum) - most; more > 0 {
		list = append(list, fmt.Sprintf("%d more", more))
	}
	return strings.Join(list, ", ")
}

func otherBound(which, bound string) string {
	if bound == "" {
		return ""
	}
	return fmt.Sprintf(", and must be %s %s", which, bound)
}

// check wants a text of the type, spelled as JSON does, because it may become a number there.
func (t ParameterType) check(value string) error {
	switch t {
	case IntParameter:
		number, err := strconv.ParseInt(value, 10, 64)
		if err != nil || strconv.FormatInt(number, 10) != value {
			return errors.New("is not a whole number such as 7")
		}
	case BoolParameter:
		if value != "true" && value != "false" {
			return errors.New("is neither true nor false")
		}
	case QuantityParameter:
		if _, err := parseQuantity(value); err != nil {
			return errors.New("is not a quantity such as 100m or 64Mi")
		}
	case StringParameter:
	}
	return nil
}

// same tells whether two texts are one value: 1000m is 1.
func (t ParameterType) same(a, b string) bool {
	return a == b || t == QuantityParameter && t.compare(a, b) == 0
}

// compare compares two values of the type that have one.
func (t ParameterType) compare(a, b string) int {
	if t == IntParameter {
		x, _ := strconv.ParseInt(a, 10, 64)
		y, _ := strconv.ParseInt(b, 10, 64)
		return cmp.Compare(x, y)
	}
	x, _ := parseQuantity(a)
	y, _ := parseQuantity(b)
	return x.Cmp(y)
}

func parseQuantity(value string) (resource.Quantity, error) {
	if !plausibleQuantity(value) {
		return resource.Quantity{}, resource.ErrFormatWrong
	}
	return resource.ParseQuantity(value)
}

// plausibleQuantity keeps from the parser what it would take minutes for: it calculates with every
// digit of 1e10000000.
func plausibleQuantity(value string) bool {
	at := strings.LastIndexAny(value, "eE")
	return len(value) <= mostQuantity && (at < 0 || len(strings.TrimLeft(value[at+1:], "+-")) <= 2)
}

// parameter is a parameter as it is written.
type parameter struct {
	Type    ParameterType `json:"type,omitempty"`
	Default *scalar       `json:"default,omitempty"`
	Pattern string        `json:"pattern,omitempty"`
	Enum    []scalar      `json:"enum,omitempty"`
	Min     *scalar       `json:"min,omitempty"`
	Max     *scalar       `json:"max,omitempty"`
	From    string        `json:"from,omitempty"`
}

// scalar is the text of a string, a number or a boolean.
type scalar struct {
	text   string
	quoted bool // it was a string
}

// UnmarshalJSON reads it.
func (s *scalar) UnmarshalJSON(content []byte) error {
	content = bytes.TrimSpace(content)
	switch {
	case len(content) > 0 && content[0] == '"':
		s.quoted = true
		return json.Unmarshal(content, &s.text)
	case len(content) > 0 && (content[0] == '{' || content[0] == '['):
		return errors.New("want a string, a number, true or false")
	}
	s.text = string(content)
	return nil
}

func (s *scalar) pointer() *string {
	if s == nil {
		return nil
	}
	return &s.text
}

func (s *scalar) String() string {
	if s == nil {
		return ""
	}
	return s.text
}

// ownValues are the values that the definition has itself.
func (p *parameter) ownValues() []string {
	var values []string
	if p.Default != nil {
		values = append(values, p.Default.text)
	}
	for i := range p.Enum {
		values = append(values, p.Enum[i].text)
	}
	return values
}

// compiled is the parameter as it is used, but for its pattern. It leaves out what cannot be read,
// which validate finds.
func (p *parameter) compiled(name string) Parameter {
	made := Parameter{Name: name, Type: p.Type, Default: p.Default.pointer(), Pattern: p.Pattern, Min: p.Min.String(), Max: p.Max.String()}
	if made.Type == "" {
		made.Type = StringParameter
	}
	for i := range p.Enum {
		made.Enum = append(made.Enum, p.Enum[i].text)
	}
	if p.From != "" {
		made.From, _ = parsePodField(unwrapped(p.From))
	}
	return made
}

// unwrapped takes `${pod.name}` for pod.name.
func unwrapped(from string) string {
	inner, found := strings.CutPrefix(from, "${")
	if !found {
		return from
	}
	return strings.TrimSuffix(inner, "}")
}
