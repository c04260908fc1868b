package params

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// Limits of a pattern. They bound its memory and its time.
const (
	maxPattern      = 1 << 10 // bytes of a pattern
	maxInstructions = 1000    // of the compiled pattern
	maxMatched      = 4 << 10 // bytes of a value that is matched against a pattern
	rangesAsOne     = 16      // ranges of a character class that count as one instruction
	instructionCost = 64      // bytes of memory for each instruction
)

var errTooComplex = fmt.Errorf("takes more than %d instructions: repeat less, or use simpler character classes",
	maxInstructions)

// Compile compiles the pattern, which Check and Steps need. It counts the instructions first, so that a
// short pattern like `(?:a*b*c*){1000}` is rejected before it takes memory. Errors do not quote the
// pattern. No other code compiles an author's regular expression.
func (p *Parameter) Compile() error {
	if p.Pattern == "" {
		return nil
	}
	instructions, err := patternInstructions(p.Pattern)
	if err != nil {
		return err
	}
	expression, err := regexp.Compile(`\A(?:` + p.Pattern + `)\z`)
	if err != nil {
		return patternError(err)
	}
	p.expression, p.instructions = expression, instructions
	return nil
}

// Cost estimates the cost of compiling the pattern and of matching the default and the enum against it.
// For each instruction, it is instructionCost, and 1 for each byte matched. It is 0 without a valid
// pattern.
func (p *Parameter) Cost() int {
	instructions, err := patternInstructions(p.Pattern)
	if p.Pattern == "" || err != nil {
		return 0
	}
	matched := 0
	if p.Default != nil {
		matched += len(p.Default.text) + 1
	}
	for _, value := range p.Enum {
		matched += len(value.text) + 1
	}
	return instructions * (instructionCost + matched)
}

// patternInstructions returns an upper bound of the number of instructions that the expression compiles
// to. It fails if the bound exceeds maxInstructions.
func patternInstructions(text string) (int, error) {
	if len(text) > maxPattern {
		return 0, fmt.Errorf("is longer than %d bytes", maxPattern)
	}
	unicodeClasses := strings.Count(text, `\p`) + strings.Count(text, `\P`)
	if unicodeClasses*rangesAsOne > maxInstructions {
		return 0, errTooComplex
	}
	// Folding the case of a class like [B-\x{ffff}] takes milliseconds, even before it is compiled.
	if foldFlag.MatchString(text) && beyondASCII.MatchString(text) {
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

var (
	foldFlag    = regexp.MustCompile(`\(\?[imsU-]*i`)
	beyondASCII = regexp.MustCompile(`\\[pP]|\\x\{|[^\x00-\x7f]`)
)

// instructionsOf returns an upper bound of the number of instructions. To avoid overflow, it is at most
// 2*maxInstructions.
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
		own = 1
	default:
		own = 2
	}
	for _, sub := range re.Sub {
		own += instructionsOf(sub)
	}
	if re.Op == syntax.OpRepeat { // x{2,4} compiles to xx(?:x(?:x)?)?, and x{2,} to xx+
		own = own*max(re.Min, re.Max, 1) + 2
	}
	return min(own, 2*maxInstructions)
}

// patternError returns an error that does not quote the expression.
func patternError(err error) error {
	if e, ok := errors.AsType[*syntax.Error](err); ok {
		return errors.New("is not a regular expression: " + e.Code.String())
	}
	return errors.New("is not a regular expression")
}
