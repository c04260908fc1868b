package params

import (
	"slices"
	"strconv"
)

// Rounds returns the number of rounds in which Samples tries every sample of each parameter.
func (s *Scope) Rounds() int {
	rounds := 1
	for number := range s.Parameters {
		rounds = max(rounds, len(s.samples(number)))
	}
	return rounds
}

// Samples returns values to validate a definition with: the defaults, and sample values of the right
// type for parameters without a default. In round 0, sample strings without an enum are unique.
func (s *Scope) Samples(round int) []string {
	values := make([]string, len(s.Parameters))
	for number := range values {
		samples := s.samples(number)
		values[number] = samples[round%len(samples)]
	}
	return values
}

// samples returns the values to try for a parameter, at least one.
func (s *Scope) samples(number int) []string {
	p := &s.Parameters[number]
	unique := "x" + strconv.Itoa(number)
	var samples []string
	switch {
	case p.Default != nil:
		samples = []string{p.Default.text}
	case len(p.Enum) > 0:
		for _, value := range p.Enum {
			samples = append(samples, value.text)
		}
	case p.Type == Bool:
		return []string{"false", "true"}
	case p.Type == Int, p.Type == Quantity:
		samples = []string{
			"1", p.Min.text, p.Max.text, "0", "2", "80", "600", "1000", "8080", "30000", "1000000", "-1",
			"1m", "100m", "1Mi", "2Mi", "4Mi", "1Gi", "2Gi",
		}
	case p.Pattern == "":
		return words(unique)
	default:
		return []string{unique}
	}
	if p.Type != String {
		samples = slices.DeleteFunc(samples, func(value string) bool { return p.checkExceptEnum(value) != nil })
	}
	if len(samples) == 0 { // the declaration is invalid
		return []string{map[Type]string{Bool: "false", Int: "1", Quantity: "1"}[p.Type]}
	}
	return samples
}

// words returns strings in the formats that fields of a pod require, and parts of such strings.
func words(first string) []string {
	return []string{
		first, "1", "1.1", "1.1.1", "10.0.0.1", "::1", "/x", "['x']", "metadata.name", "metadata", "name", "nodeName",
		"hostIP", "limits", "cpu", "2Mi", "",
	}
}

// Unknown returns the numbers of the parameters in the text that have no default, each once.
func (s *Scope) Unknown(t *Text) []int {
	var unknown []int
	for _, number := range t.Numbers {
		if s.Parameters[number].Default == nil && !slices.Contains(unknown, number) {
			unknown = append(unknown, number)
		}
	}
	return unknown
}

// Undecidable reports whether a valid value may exist although all samples are invalid. That is the case
// if the text has several parameters without a default, or one with a pattern, or if it is a single
// placeholder for an arbitrary string.
func (s *Scope) Undecidable(t *Text) bool {
	unknown := s.Unknown(t)
	if len(unknown) != 1 {
		return len(unknown) > 1
	}
	p := &s.Parameters[unknown[0]]
	return p.Type == String && p.Enum == nil && (t.whole() || p.Pattern != "")
}
