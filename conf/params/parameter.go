package params

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Parameter is a value that a pod may set in a sidecar. It is immutable and safe for concurrent use.
type Parameter struct {
	Name string
	Type Type
	// Default is nil if a pod must set the parameter, unless From has a value.
	Default *string
	// From is the field of the pod that has the value if the pod does not set it. Zero means none.
	From PodField
	// Pattern is as the author wrote it. A value must match it from end to end.
	Pattern string
	// Enum has the allowed values. Nil allows all.
	Enum []string
	// Min and Max are inclusive bounds. Empty means none.
	Min, Max string

	pattern *pattern // nil without a Pattern, and before Compile
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

// Compile prepares the pattern, which Check and Steps need.
func (p *Parameter) Compile() (err error) {
	if p.Pattern != "" {
		p.pattern, err = compilePattern(p.Pattern)
	}
	return err
}

// Check returns an error that names the rule that the value breaks, and what the rule allows, but not
// the value.
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

// Steps estimates the work of Check for the value.
func (p *Parameter) Steps(value string) int {
	steps := len(p.Enum)
	if p.pattern != nil && len(value) <= maxMatched {
		steps += p.pattern.steps(value)
	}
	return steps
}

// rule is a rule of a parameter. Its text is the error about a default or an enum value.
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
	if broken := p.brokenExceptEnum(value); broken != noRule {
		return broken
	}
	if p.Enum != nil && !slices.ContainsFunc(p.Enum, func(allowed string) bool { return p.Type.equal(value, allowed) }) {
		return enumRule
	}
	return noRule
}

func (p *Parameter) brokenExceptEnum(value string) rule {
	limit := maxValue
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

// allowed lists the first values of the enum.
func (p *Parameter) allowed() string {
	const maxListed, maxLength = 10, 64
	var list []string
	for _, value := range p.Enum[:min(len(p.Enum), maxListed)] {
		if len(value) > maxLength {
			value = strings.ToValidUTF8(value[:maxLength], "") + "..."
		}
		list = append(list, value)
	}
	if more := len(p.Enum) - maxListed; more > 0 {
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

// equal reports whether two texts are the same value: 1000m is 1.
func (t Type) equal(a, b string) bool {
	return a == b || t == Quantity && t.compare(a, b) == 0
}

// compare compares two valid integers or quantities.
func (t Type) compare(a, b string) int {
	if t == Int {
		x, _ := strconv.ParseInt(a, 10, 64)
		y, _ := strconv.ParseInt(b, 10, 64)
		return cmp.Compare(x, y)
	}
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
