package conf

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
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

	pattern *regexp.Regexp // anchored; nil without a pattern
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

// mostQuantity is far beyond the length of any quantity, and mostValue of any parameter: a value
// may come from anybody, and patterns take time.
const (
	mostQuantity = 64
	mostValue    = 16 << 10
)

// Check tells what is wrong with a value, and what is allowed. The value is not in the error.
func (p *Parameter) Check(value string) error {
	if len(value) > mostValue {
		return fmt.Errorf("is longer than %d bytes", mostValue)
	}
	if err := p.Type.check(value); err != nil {
		return err
	}
	if p.Enum != nil && !slices.ContainsFunc(p.Enum, func(allowed string) bool { return p.Type.same(value, allowed) }) {
		return fmt.Errorf("is none of %s", strings.Join(p.Enum, ", "))
	}
	if p.pattern != nil && !p.pattern.MatchString(value) {
		return fmt.Errorf("does not match the pattern %s", p.Pattern)
	}
	if p.Min != "" && p.Type.compare(value, p.Min) < 0 {
		return fmt.Errorf("is less than %s%s", p.Min, otherBound("at most", p.Max))
	}
	if p.Max != "" && p.Type.compare(value, p.Max) > 0 {
		return fmt.Errorf("is more than %s%s", p.Max, otherBound("at least", p.Min))
	}
	return nil
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

// compiled is the parameter as it is used. It leaves out what cannot be read, which validate finds.
func (p *parameter) compiled(name string) Parameter {
	made := Parameter{Name: name, Type: p.Type, Default: p.Default.pointer(), Pattern: p.Pattern, Min: p.Min.String(), Max: p.Max.String()}
	if made.Type == "" {
		made.Type = StringParameter
	}
	for i := range p.Enum {
		made.Enum = append(made.Enum, p.Enum[i].text)
	}
	if p.Pattern != "" {
		made.pattern, _ = regexp.Compile(`\A(?:` + p.Pattern + `)\z`)
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
