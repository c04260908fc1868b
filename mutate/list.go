package mutate

import "k8s-sidecar-injector/conf"

// list is a list or map of the pod or of a container, and what is added to it.
type list struct {
	received []Named // the elements that a list already has; nil if there is no list
	members  Map     // the members that a map already has; nil if there is no map
	added    []addition
	fronts   int    // how many of added are put before received
	index    *index // of received and added
}

// addition is an element that is added to a list or map.
type addition struct {
	*conf.Element
	by    *conf.Sidecar // nil if the element belongs to an injected container or to the injector
	front bool          // the element is put before those of the container
}

// find returns the first element with the name, and reports whether it exists. The addition is empty if
// the pod or container already has the element.
func (l *list) find(name string) (addition, bool) {
	if _, found := l.members[name]; found {
		return addition{}, true
	}
	i, first := l.position(name), len(l.received)
	if i < first {
		return addition{}, i >= 0
	}
	return l.added[i-first], true
}

// position returns the position of the first element with the name in the received and the added elements, or -1.
func (l *list) position(name string) int {
	first := len(l.received)
	return find(&l.index, name, first+len(l.added), func(i int) string {
		if i < first {
			return l.received[i].Name
		}
		return l.added[i-first].Name
	})
}

// check looks for an element of the list with which the next one of a sidecar clashes. The container is nil
// for a list of the pod.
type check func(p *plan, s *conf.Sidecar, c *container, l *list, next *conf.Element) omission

// checkName looks for an element with the same name.
func checkName(_ *plan, _ *conf.Sidecar, c *container, l *list, next *conf.Element) omission {
	if c == nil {
		return l.checkName(next, podHasIt)
	}
	return l.checkName(next, containerHasIt)
}

// checkName returns the omission of an element if the list has one with its name. The text is for an
// element that no sidecar adds.
func (l *list) checkName(next *conf.Element, text string) omission {
	other, found := l.find(next.Name)
	switch {
	case !found:
		return omission{}
	case other.by != nil:
		return omission{text: sidecarAddsIt, by: other.by}
	}
	return omission{text: text}
}

// namesOf returns the names of elements as sidecars have them. It is nil if there is no list.
func namesOf[E any](elements []E, nameOf func(E) string) []Named {
	if elements == nil {
		return nil
	}
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
