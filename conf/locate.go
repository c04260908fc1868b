package conf

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/pod-security-admission/api"
)

// locate finds the field that each need comes from, the first where there are several. The library
// does not tell. So every part of the definition is judged as if there were nothing else, down
// to the smallest that has the need: what a check looks at need not be known here.
func (l *loading) locate(t tree, needs []need) []place {
	if len(needs) == 0 {
		return nil
	}
	at := locating{standards: l.standards, late: l.late}
	whole := part{value: t, within: func(value any) tree { return value.(tree) }}
	at.below(whole, needs)
	return at.found
}

type locating struct {
	*standards
	late  func() error
	found []place
}

// part is a value in a definition, and how to make a definition that has nothing but a value there.
type part struct {
	path   *field.Path
	value  any
	within func(value any) tree
}

// in looks for needs in a part, and gives those that it has found there.
func (l *locating) in(p part, needs []need) []need {
	found := l.among(needs, p.within(p.value))
	deeper := found
	if _, object := p.value.(tree); object && len(found) > 0 {
		// What an empty object has is of the object itself: `hostPath: {path: /}`.
		here := l.among(found, p.within(tree{}))
		l.note(p, here)
		deeper = without(found, here)
	}
	l.below(p, deeper)
	return found
}

// below looks for needs that a part has in smaller ones.
func (l *locating) below(p part, needs []need) {
	for _, smaller := range p.parts() {
		if len(needs) == 0 || l.late() != nil {
			return
		}
		needs = without(needs, l.in(smaller, needs))
	}
	l.note(p, needs)
}

func (l *locating) note(p part, needs []need) {
	for _, n := range needs {
		l.found = append(l.found, place{need: n, path: p.path})
	}
}

// among gives those of the needs that a definition has, whoever it names for them.
func (l *locating) among(needs []need, t tree) []need {
	d, err := typed(t)
	if err != nil {
		return nil
	}
	has := l.against(api.LevelBaseline, d)
	return slices.DeleteFunc(slices.Clone(needs), func(n need) bool {
		return !slices.ContainsFunc(has, func(other need) bool { return other == n })
	})
}

func without(needs, known []need) []need {
	return slices.DeleteFunc(slices.Clone(needs), func(n need) bool { return slices.Contains(known, n) })
}

// parts are the members of an object, by key, or the elements of a list.
func (p part) parts() []part {
	var parts []part
	switch value := p.value.(type) {
	case tree:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			within := func(v any) tree { return p.within(tree{key: v}) }
			at := child(p.path, key)
			if p.path != nil && strings.ContainsAny(key, "./") {
				at = p.path.Key(key) // of a map, such as annotations[cdi.k8s.io/gpu]
			}
			parts = append(parts, part{at, value[key], within})
		}
	case []any:
		for i, element := range value {
			within := func(v any) tree { return p.within([]any{v}) }
			parts = append(parts, part{index(p.path, i), element, within})
		}
	}
	return parts
}
