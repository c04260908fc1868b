package conf

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// hopeless returns those of the doubtful faults that every value of a parameter causes, so that the
// definition could never be injected. It tries the values of an enum, both booleans, and typical and
// extreme values of the other types. What only some values cause is found when a pod has them, and so
// is what cannot be afforded.
func (s *sample) hopeless(affordable func() bool) field.ErrorList {
	left, rounds := s.decidable()
	for round := 1; len(left) > 0 && round <= rounds; round++ {
		if !affordable() {
			return nil
		}
		found := make(map[string]bool)
		for _, fault := range s.faultsOf(round) {
			found[fault.Field] = true
		}
		left = slices.DeleteFunc(left, func(fault *field.Error) bool { return !found[fault.Field] })
	}
	return left
}

// decidable are the doubtful faults of leaves with one value that is not known, of which there are
// some to try; and how many these are at most.
func (s *sample) decidable() (faults field.ErrorList, rounds int) {
	for _, fault := range s.doubtful {
		unknown := s.unknown(fault)
		if len(unknown) != 1 || s.alone[leafPath(fault.Field)] && s.needs.anyText(unknown[0]) {
			continue
		}
		if tried := s.needs.candidates(unknown[0]); len(tried) > 0 {
			faults = append(faults, fault)
			rounds = max(rounds, len(tried))
		}
	}
	return faults, rounds
}

// faultsOf returns the faults of the definition with other values in its holes.
func (s *sample) faultsOf(round int) field.ErrorList {
	other := &sample{needs: s.needs.tried(round), written: s.written}
	other.fill()
	kept, check := other.shape()
	faults := append(check.faults.first, other.doubtful...)
	d, err := typed(kept)
	if err != nil {
		return faults
	}
	return append(faults, validate(d)...)
}

// tried are the same needs, with the candidates of a round in the place of what is not known.
func (n *needs) tried(round int) *needs {
	other := *n
	other.uses, other.round = slices.Clone(n.uses), round
	return &other
}

// anyText reports whether the value may be any text.
func (n *needs) anyText(number int) bool {
	return number >= len(n.parameters) || n.parameters[number].Type == StringParameter && n.parameters[number].Enum == nil
}

// candidates are the values to try for a value that is not known; none where that would prove
// nothing.
func (n *needs) candidates(number int) []string {
	if number >= len(n.parameters) {
		return texts()
	}
	p := &n.parameters[number]
	var all []string
	switch {
	case p.Enum != nil:
		return p.Enum
	case p.Type == BoolParameter:
		return []string{"true", "false"}
	case p.Type == StringParameter && p.Pattern == "":
		return texts()
	case p.Type == IntParameter:
		all = []string{p.Min, p.Max, "1", "0", "2", "80", "600", "1000", "8080", "30000", "1000000", "-1"}
	case p.Type == QuantityParameter:
		all = []string{p.Min, p.Max, "1", "0", "1m", "100m", "1Mi", "2Mi", "4Mi", "1Gi", "2Gi", "1000000"}
	}
	return slices.DeleteFunc(all, func(value string) bool { return p.broken(value) != noRule })
}

// texts are of the kinds that the fields of the API want, and parts of the words that they take.
func texts() []string {
	words := strings.Fields(`x 1 0 1.1 0.0.1 10.0.0.1 ::1 :1 /x x/x x.x X m Mi 1Mi v v1 x'] labels['x']
		metadata metadata.name name namespace uid labels annotations spec nodeName serviceAccountName status hostIP podIP IP
		limits requests limits.cpu cpu memory ephemeral-storage hugepages-2Mi 2Mi storage ephemeral
		Memory HugePages HugePages-2Mi RSA3072 3072 ECDSAP256 256 ED25519 noexec exec`)
	return append(words, "")
}
