package mutate

import (
	"slices"
	"strconv"
	"strings"
)

// StandIns are valid values in the place of values that are not known before a pod exists. To find out
// where they end up, a decision is made twice: with the first set of stand-ins, which counts, and with
// the second set. Values of both have the same length, and differ in their first character.
type StandIns struct {
	second bool
	used   []standIn
	shown  []string
}

type standIn struct {
	shown  string // such as <hash>
	values [2]string
}

// Other returns the other set.
func (s *StandIns) Other() *StandIns { return &StandIns{second: !s.second} }

func (s *StandIns) use(shown, first, second string) string {
	next := standIn{shown: shown, values: [2]string{first, second}}
	s.used = append(s.used, next)
	if s.second {
		return second
	}
	return first
}

func (s *StandIns) hash() string { return s.use("<hash>", "5b6c7d8f9c", "6c7d8f9b5d") }

func (s *StandIns) suffix() string { return s.use("<suffix>", "x7k2m", "z8n4p") }

func (s *StandIns) uid() string {
	return s.use("<uid>", "3f2504e0-4f89-41d3-9a0c-0305e82c3301", "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d")
}

// minutes is the scheduled time of a Job in minutes, with which its name ends.
func (s *StandIns) minutes() string { return s.use("<minutes>", "29405160", "30516271") }

func (s *StandIns) generation() string { return s.use("<generation>", "1", "2") }

func (s *StandIns) index() string { return s.use("<index>", "0", "1") }

// ordinal is the first ordinal of a StatefulSet.
func (s *StandIns) ordinal(start uint32) string {
	first := strconv.FormatUint(uint64(start), 10)
	digit := first[0] + 1
	if digit > '9' {
		digit = '8'
	}
	return s.use("<ordinal>", first, string(digit)+first[1:])
}

// Show returns a text of the first decision. Where that of the second differs, it has the names of stand-ins,
// such as <hash>. If the texts differ in more, the first is returned.
func (s *StandIns) Show(first, second string) string {
	if len(first) != len(second) {
		return first
	}
	var shown strings.Builder
	for at := 0; at < len(first); {
		if first[at] == second[at] {
			shown.WriteByte(first[at])
			at++
			continue
		}
		name, length := s.find(first[at:], second[at:])
		if length == 0 {
			return first
		}
		shown.WriteString(name)
		at += length
		if !slices.Contains(s.shown, name) {
			s.shown = append(s.shown, name)
		}
	}
	return shown.String()
}

// Shown returns the names of the stand-ins that Show has shown.
func (s *StandIns) Shown() []string { return s.shown }

// find returns the stand-in that both texts begin with. The length is 0 if there is none.
func (s *StandIns) find(first, second string) (shown string, length int) {
	for _, in := range s.used {
		if strings.HasPrefix(first, in.values[0]) && strings.HasPrefix(second, in.values[1]) {
			return in.shown, len(in.values[0])
		}
	}
	return "", 0
}
