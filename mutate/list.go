package mutate

import "k8s-sidecar-injector/conf"

// list is a list or map of the pod or of a container, and what is added to it.
type list struct {
	received []Named // what the pod or container already has
	added    []addition
	index    *index // of both
}

// addition is an element that is added to a list or map.
type addition struct {
	name  string        // identifies the element in its list
	json  *conf.RawJSON // the element
	value string        // of an element of a map; of a volume mount, its path without trailing slashes
	by    *conf.Sidecar // nil if the element belongs to an injected container or to the injector
}

// find returns the first element with the name, and reports whether it exists. The addition is empty if
// the pod or container already has the element.
func (l *list) find(name string) (addition, bool) {
	first := len(l.received)
	i := find(&l.index, name, first+len(l.added), func(i int) string {
		if i < first {
			return l.received[i].Name
		}
		return l.added[i-first].name
	})
	if i < first {
		return addition{}, i >= 0
	}
	return l.added[i-first], true
}

// checkName returns the omission of an element if the list has one with its name. The text is for an
// element that no sidecar adds.
func (l *list) checkName(next *addition, text string) omission {
	other, found := l.find(next.name)
	switch {
	case !found:
		return omission{}
	case other.by != nil:
		return omission{text: sidecarAddsIt, by: other.by}
	}
	return omission{text: text}
}

// namesOf returns the names of elements as sidecars have them.
func namesOf[E any](elements []E, nameOf func(E) string) []Named {
	names := make([]Named, len(elements))
	for i, e := range elements {
		names[i].Name = nameOf(e)
	}
	return names
}

// index finds the elements of a long list by their names. Nil is the index of a short list.
type index struct {
	positions map[string]int // of the first element with each name
	indexed   int            // how many elements positions covers
	lookups   int
}

// A list is scanned if it is short or if there are few lookups, because building a map takes longer.
const (
	maxScanned = 32
	maxLookups = 8
)

// find returns the position of the first element of a list with the name, or -1, in time that does not
// depend on the length of the list. The list may only grow. Its index is created if it is long.
func find(of **index, name string, length int, nameAt func(int) string) int {
	if length > maxScanned {
		if *of == nil {
			*of = &index{positions: make(map[string]int)}
		}
		if x := *of; x.lookups < maxLookups {
			x.lookups++
		} else {
			return x.find(name, length, nameAt)
		}
	}
	for i := range length {
		if nameAt(i) == name {
			return i
		}
	}
	return -1
}

func (x *index) find(name string, length int, nameAt func(int) string) int {
	for ; x.indexed < length; x.indexed++ {
		next := nameAt(x.indexed)
		if _, found := x.positions[next]; !found {
			x.positions[next] = x.indexed
		}
	}
	if i, found := x.positions[name]; found {
		return i
	}
	return -1
}

// additions returns elements of a sidecar as additions.
func additions[E any](p *plan, s *conf.Sidecar, elements []E, describe func(*E) addition) []addition {
	all := p.room(len(elements))
	for i := range elements {
		all = append(all, describe(&elements[i]))
		all[i].by = s
	}
	return all
}

// These functions return elements of definitions as additions.

func fromElement(e *conf.Element) addition { return addition{name: e.Name, json: &e.RawJSON} }

func fromMount(m *conf.Mount) addition {
	return addition{name: m.Name, json: &m.RawJSON, value: cleanPath(m.Path)}
}

func fromEnvFrom(e *conf.EnvFrom) addition { return addition{name: e.String(), json: &e.RawJSON} }

func fromPair(p *conf.Pair) addition {
	return addition{name: p.Key, json: &p.RawJSON, value: p.Value}
}

func fromToleration(t *conf.Toleration) addition {
	return addition{name: t.String(), json: &t.RawJSON}
}

func fromText(t *conf.RawJSON) addition { return addition{name: string(t.JSON), json: t} }
