package params

import (
	"slices"
	"strconv"
)

// Rounds returns how many rounds of Samples differ.
func (s *Scope) Rounds() int {
	rounds := 1
	for number := range len(s.Parameters) + len(s.PodFields) {
		rounds = max(rounds, len(s.samples(number)))
	}
	return rounds
}

// Samples returns values to validate a definition with: defaults, and sample values where there is no
// default. Each has the type of its parameter. Sample strings of round 0 differ from each other.
func (s *Scope) Samples(round int) []string {
	values := make([]string, len(s.Parameters)+len(s.PodFields))
	for number := range values {
		samples := s.samples(number)
		values[number] = samples[round%len(samples)]
		if p := s.parameter(number); p != nil && p.Type.check(values[number]) != nil {
			values[number] = p.Type.example() // the declaration is invalid
		}
	}
	return values
}

// example returns a value of the type.
func (t Type) example() string {
	if t == Bool {
		return "false"
	}
	return "1"
}

// HasDefaults reports whether all values have defaults, so that Samples returns these.
func (s *Scope) HasDefaults() bool {
	required := func(p Parameter) bool { return p.Default == nil }
	return len(s.PodFields) == 0 && !slices.ContainsFunc(s.Parameters, required)
}

// samples returns the values of that number to try. There is at least one.
func (s *Scope) samples(number int) []string {
	unique := "x" + strconv.Itoa(number)
	p := s.parameter(number)
	switch {
	case p == nil:
		return words(unique)
	case p.Default != nil:
		return []string{*p.Default}
	case len(p.Enum) > 0:
		return p.Enum
	case p.Type == Bool:
		return []string{"false", "true"}
	case p.Type == Int:
		return p.usable("1", p.Min, p.Max, "0", "2", "80", "600", "1000", "8080", "30000", "1000000", "-1")
	case p.Type == Quantity:
		return p.usable("1", p.Min, p.Max, "0", "1m", "100m", "1Mi", "2Mi", "4Mi", "1Gi", "2Gi", "1000000")
	case p.Pattern == "":
		return words(unique)
	}
	return []string{unique}
}

// usable returns the values that the parameter allows, or all if it allows none of them.
func (p *Parameter) usable(values ...string) []string {
	usable := slices.DeleteFunc(slices.Clone(values), func(value string) bool { return p.broken(value) != noRule })
	if len(usable) == 0 {
		return values
	}
	return usable
}

// words returns strings of the kinds that fields of a pod want, and parts of words that they want.
func words(first string) []string {
	return []string{
		first, "1", "1.1", "1.1.1", "10.0.0.1", "::1", "/x", "['x']", "metadata.name", "metadata", "name", "nodeName",
		"hostIP", "limits", "cpu", "2Mi", "",
	}
}

// Unknown returns the numbers of the values in the text that have no default.
func (s *Scope) Unknown(t *Text) []int {
	return slices.DeleteFunc(t.Numbers(), func(number int) bool {
		p := s.parameter(number)
		return p != nil && p.Default != nil
	})
}

// Undecidable reports whether samples cannot prove that no value makes the text valid: it has several
// unknown values, or one of a pattern, or it is nothing but one that may be any string.
func (s *Scope) Undecidable(t *Text) bool {
	unknown := s.Unknown(t)
	if len(unknown) != 1 {
		return len(unknown) > 1
	}
	p := s.parameter(unknown[0])
	_, whole := t.whole()
	switch {
	case p == nil:
		return whole
	case p.Type != String || p.Enum != nil:
		return false
	}
	return whole || p.Pattern != ""
}
