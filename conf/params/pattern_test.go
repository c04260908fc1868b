package params_test

import (
	"regexp/syntax"
	"testing"

	"k8s-sidecar-injector/conf/params"
)

// patterns returns expressions of all kinds, some of which compile to many instructions.
func patterns() []string {
	return []string{
		``, `a`, `[a-z0-9]([-a-z0-9]*[a-z0-9])?`, `(a|b|c)+`, `(?i)debug|info`, `\pL{1,5}`, `[^a]`, `.`,
		`(?s).*`, `a{3}`, `a{2,}`, `a{0,9}`, `(?:a{5}){9}`,
		`(?:x*)*`, `(?:(?:a?)+)+`, `^$`, `\bx\b`, `(?P<n>a)(b)`,
		`[[:alpha:]]+`, `a??b+?`, `(|a|)*`, `(?:^)*`, `[\x{41}-\x{1e942}]`, `(?:a*b*c*){90}`,
	}
}

// The bound, which is known before an expression is compiled, is never too small.
func TestPatternInstructions(t *testing.T) {
	t.Parallel()
	for _, text := range patterns() {
		bound, err := params.PatternInstructions(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		parsed, err := syntax.Parse(`\A(?:`+text+`)\z`, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		program, err := syntax.Compile(parsed.Simplify())
		if err != nil {
			t.Fatal(err)
		}
		const anchors = 4 // \A, \z, the match and the failure
		if made := len(program.Inst); made > bound+anchors {
			t.Errorf("%s compiles to %d instructions, more than %d", text, made, bound)
		}
	}
}

// FuzzPattern checks any expression as TestPatternInstructions does.
func FuzzPattern(f *testing.F) {
	for _, text := range patterns() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		bound, err := params.PatternInstructions(text)
		if err != nil {
			return
		}
		parsed, err := syntax.Parse(`\A(?:`+text+`)\z`, syntax.Perl)
		if err != nil {
			return
		}
		program, err := syntax.Compile(parsed.Simplify())
		if err == nil && len(program.Inst) > bound+4 {
			t.Errorf("%q compiles to %d instructions, more than %d", text, len(program.Inst), bound)
		}
	})
}
