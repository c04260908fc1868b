package params

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// Limits of a pattern. Together they bound the memory and the time that an author's pattern takes.
const (
	maxPattern      = 1 << 10 // bytes of a pattern
	maxInstructions = 1000    // of the compiled pattern
	maxMatched      = 4 << 10 // bytes of a value that is matched against a pattern
	rangesAsOne     = 16      // ranges of a character class that count as an instruction
)

var errTooComplex = fmt.Errorf("takes more than %d instructions: repeat less, or use simpler character classes",
	maxInstructions)

// pattern is the regular expression of a parameter. No other code compiles or matches the regular
// expression of an author.
type pattern struct {
	expression   *regexp.Regexp
	instructions int
}

// compilePattern compiles an expression that must match a value from end to end. It measures the
// expression first, so that a short one like `(?:a*b*c*){1000}` is rejected before it takes memory.
// Errors do not quote the expression.
func compilePattern(text string) (*pattern, error) {
	instructions, err := patternInstructions(text)
	if err != nil {
		return nil, err
	}
	expression, err := regexp.Compile(`\A(?:` + text + `)\z`)
	if err != nil {
		return nil, patternError(err)
	}
	return &pattern{expression, instructions}, nil
}

// match reports whether the pattern matches the value. Its time is at most proportional to steps.
func (p *pattern) match(value string) bool {
	return len(value) <= maxMatched && p.expression.MatchString(value)
}

// steps is the number of instructions that matching a value takes at most.
func (p *pattern) steps(value string) int {
	return p.instructions * (len(value) + 1)
}

// patternInstructions returns an upper bound of the instructions that the expression compiles to.
func patternInstructions(text string) (int, error) {
	if len(text) > maxPattern {
		return 0, fmt.Errorf("is longer than %d bytes", maxPattern)
	}
	unicodeClasses := strings.Count(text, `\p`) + strings.Count(text, `\P`)
	if unicodeClasses*rangesAsOne > maxInstructions {
		return 0, errTooComplex
	}
	if foldsCase(text) && (unicodeClasses > 0 || beyondASCII(text)) {
		return 0, errors.New("with (?i) it may have ASCII characters only")
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return 0, patternError(err)
	}
	instructions := instructionsOf(parsed) + unicodeClasses*rangesAsOne
	if instructions > maxInstructions {
		return 0, errTooComplex
	}
	return instructions, nil
}

var foldFlag = regexp.MustCompile(`\(\?[imsU-]*i`)

// foldsCase reports whether the expression may have the flag i. Folding the case of a class like
// [B-\x{ffff}] takes milliseconds, even before it is compiled.
func foldsCase(text string) bool {
	return foldFlag.MatchString(text)
}

func beyondASCII(text string) bool {
	return strings.Contains(text, `\x{`) || strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf })
}

// instructionsOf returns an upper bound. It stops counting soon after maxInstructions.
func instructionsOf(re *syntax.Regexp) int {
	own := 0
	switch re.Op {
	case syntax.OpConcat:
	case syntax.OpLiteral:
		own = len(re.Rune)
	case syntax.OpCharClass:
		own = 1 + len(re.Rune)/2/rangesAsOne
	case syntax.OpAlternate:
		own = len(re.Sub) - 1
	case syntax.OpRepeat:
		return repeated(re)
	default:
		own = 2
	}
	for _, sub := range re.Sub {
		if own > maxInstructions {
			break
		}
		own += instructionsOf(sub)
	}
	return own
}

// repeated counts x{2,4} as xx(?:x(?:x)?)? and x{2,} as xx+, which is what they compile to.
func repeated(re *syntax.Regexp) int {
	times := max(re.Min, re.Max, 1)
	if one := instructionsOf(re.Sub[0]) + 1; one <= maxInstructions {
		return one*times + 2
	}
	return maxInstructions + 1
}

// patternError returns an error that does not quote the expression.
func patternError(err error) error {
	if e, ok := errors.AsType[*syntax.Error](err); ok {
		return errors.New("is not a regular expression: " + e.Code.String())
	}
	return errors.New("is not a regular expression")
}
