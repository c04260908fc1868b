package params

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Parameter is a value that a pod may set in a sidecar, as it is declared in a definition. A Scope also
// has one for each field of the pod in a placeholder such as ${pod.name}, see Implicit. It is immutable
// once it is compiled, and then safe for concurrent use.
type Parameter struct {
	Name string `json:"-"`
	Type Type   `json:"type,omitempty"`
	// Default is nil if a pod must set the parameter, unless From has a value.
	Default *Scalar `json:"default,omitempty"`
	// From is the field of the pod that has the value if the pod does not set it. Empty means none.
	From PodField `json:"from,omitempty"`
	// Pattern is as the author wrote it. A value must match it from end to end.
	Pattern string `json:"pattern,omitempty"`
	// Enum has the allowed values. Nil allows all.
	Enum []Scalar `json:"enum,omitempty"`
	// Min and Max are inclusive bounds. Empty means none.
	Min Scalar `json:"min"`
	Max Scalar `json:"max"`

	expression   *regexp.Regexp // nil without a Pattern, and before Compile
	instructions int            // of the expression
}

// Implicit reports whether the parameter is a field of the pod that is not declared. Only the pod has
// its value, and any value is allowed.
func (p *Parameter) Implicit() bool {
	return p.Name == string(p.From)
}

// Scalar is the text of a string, a number or a boolean.
type Scalar struct {
	text   string
	quoted bool // it is a string
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *Scalar) UnmarshalJSON(content []byte) error {
	switch content[0] {
	case '"':
		s.quoted = true
		return json.Unmarshal(content, &s.text)
	case '{', '[':
		return errors.New("want a string, a number, true or false")
	case 'n': // null
		return nil
	}
	s.text = string(content)
	return nil
}

func (s Scalar) String() string {
	return s.text
}

// Type is the type of a parameter. A value is always a text, which the types other than String
// restrict.
type Type string

// The types of parameters.
const (
	String   Type = "string"
	Int      Type = "int"
	Bool     Type = "bool"
	Quantity Type = "quantity"
)

const (
	maxQuantity = 64       // bytes of a quantity, far more than any valid one has
	maxValue    = 16 << 10 // bytes of any value
	maxEnum     = 100      // values of an enum, each of which is compared
)

// Check returns an error that names the rule that the value breaks, and what the rule allows, but not
// the value.
func (p *Parameter) Check(value string) error {
	if err := p.checkExceptEnum(value); err != nil {
		return err
	}
	same := func(allowed Scalar) bool { // 1000m is 1
		return value == allowed.text || p.Type == Quantity && compare(value, allowed.text) == 0
	}
	if p.Enum != nil && !slices.ContainsFunc(p.Enum, same) {
		return fmt.Errorf("is none of %s", p.allowed())
	}
	return nil
}

func (p *Parameter) checkExceptEnum(value string) error {
	limit := maxValue
	if p.expression != nil {
		limit = maxMatched
	}
	if len(value) > limit {
		return fmt.Errorf("is longer than %d bytes", limit)
	}
	if err := p.Type.check(value); err != nil {
		return err
	}
	switch {
	case p.expression != nil && !p.expression.MatchString(value):
		return fmt.Errorf("does not match the pattern %s", p.Pattern)
	case p.Min.text != "" && compare(value, p.Min.text) < 0:
		return fmt.Errorf("is less than %s", p.Min)
	case p.Max.text != "" && compare(value, p.Max.text) > 0:
		return fmt.Errorf("is more than %s", p.Max)
	}
	return nil
}

// Steps estimates the work of Check for the value.
func (p *Parameter) Steps(value string) int {
	steps := len(p.Enum)
	if len(value) <= maxMatched {
		steps += p.instructions * (len(value) + 1)
	}
	return steps
}

// allowed lists the values of the enum.
func (p *Parameter) allowed() string {
	const most = 300
	var texts []string
	for _, value := range p.Enum {
		texts = append(texts, value.text)
	}
	list := strings.Join(texts, ", ")
	if len(list) > most {
		return strings.ToValidUTF8(list[:most], "") + "..."
	}
	return list
}

// check validates a value of the type. Integers and booleans must be spelled as in JSON.
func (t Type) check(value string) error {
	switch t {
	case Int:
		number, err := strconv.ParseInt(value, 10, 64)
		if err != nil || strconv.FormatInt(number, 10) != value {
			return errors.New("is not a whole number such as 7")
		}
	case Bool:
		if value != "true" && value != "false" {
			return errors.New("is neither true nor false")
		}
	case Quantity:
		if _, err := ParseQuantity(value); err != nil {
			return errors.New("is not a quantity such as 100m or 64Mi")
		}
	case String:
	}
	return nil
}

// compare compares two valid integers or quantities.
func compare(a, b string) int {
	x, _ := ParseQuantity(a)
	y, _ := ParseQuantity(b)
	return x.Cmp(y)
}

// ParseQuantity is resource.ParseQuantity, which takes minutes for 1e10000000, with a limit of the
// length and the exponent.
func ParseQuantity(value string) (resource.Quantity, error) {
	exponent := ""
	if at := strings.LastIndexAny(value, "eE"); at >= 0 {
		exponent = strings.TrimLeft(value[at+1:], "+-")
	}
	if len(value) > maxQuantity || len(exponent) > 2 {
		return resource.Quantity{}, resource.ErrFormatWrong
	}
	return resource.ParseQuantity(value)
}
