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

// Parameter is the declaration of a value that a pod may set. A field of the pod in a placeholder, such
// as ${pod.name}, is an implicit Parameter. After Compile, a Parameter is immutable and safe for
// concurrent use.
type Parameter struct {
	Name string `json:"-"`
	// Type of the value: `string`, `int` (`7`, not `07`), `bool` (`true` or `false`) or `quantity` (`100m`).
	Type Type `json:"type,omitempty"`
	// Value if neither an annotation nor `from` sets one. Absent: one of them must.
	Default *Scalar `json:"default,omitempty"`
	// Field of the pod that has the value if no annotation sets it, such as `pod.labels.team`.
	From PodField `json:"from,omitempty"`
	// Regular expression (RE2) that must match the whole value. For `string` only.
	Pattern string `json:"pattern,omitempty"`
	// Allowed values. Absent: all.
	Enum []Scalar `json:"enum,omitempty"`
	// Lowest allowed value. For `int` and `quantity` only.
	Min Scalar `json:"min"`
	// Highest allowed value. For `int` and `quantity` only.
	Max Scalar `json:"max"`

	expression   *regexp.Regexp // nil without a Pattern, and before Compile
	instructions int            // upper bound for the expression
}

// Implicit reports whether the parameter is a field of the pod that is used without a declaration. No
// annotation can set it, and all values are allowed. The name of a valid declaration has no dot, so it
// never equals From.
func (p *Parameter) Implicit() bool {
	return p.Name == string(p.From)
}

// Scalar is the text of a string, a number or a boolean.
type Scalar struct {
	text string
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *Scalar) UnmarshalJSON(content []byte) error {
	switch content[0] {
	case '"':
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

// Type is the type of a parameter. Values are always strings; the type restricts their syntax.
type Type string

// The types of parameters.
const (
	String   Type = "string"
	Int      Type = "int"
	Bool     Type = "bool"
	Quantity Type = "quantity"
)

const (
	maxQuantity = 64       // bytes of a quantity; real ones are much shorter
	maxValue    = 16 << 10 // bytes of any value
	maxEnum     = 100      // values of an enum; Check compares all of them
)

// Check validates a value. The error quotes the violated rule, but not the value.
func (p *Parameter) Check(value string) error {
	if err := p.checkExceptEnum(value); err != nil {
		return err
	}
	same := func(allowed Scalar) bool { // 1000m equals 1
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

// Steps estimates the work of Check: a step is one instruction of the pattern for one byte of the value,
// or one value of the enum.
func (p *Parameter) Steps(value string) int {
	steps := len(p.Enum)
	if len(value) <= maxMatched {
		steps += p.instructions * (len(value) + 1)
	}
	return steps
}

// allowed lists the values of the enum, truncated for an error message.
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

// compare compares two integers or quantities. Both must be valid.
func compare(a, b string) int {
	x, _ := ParseQuantity(a)
	y, _ := ParseQuantity(b)
	return x.Cmp(y)
}

// ParseQuantity parses a quantity. It limits the length and the exponent, because
// resource.ParseQuantity takes minutes for 1e10000000.
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
