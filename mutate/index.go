package mutate

import "slices"

// index finds elements of a list by their keys, in time that does not depend on the length of the
// list.
type index[K comparable] struct {
	positions map[K]int // of the first element with each key
	indexed   int       // how many elements positions covers
	lookups   int
}

// A list is scanned if it is short or if there are few lookups, because building a map takes longer.
const (
	maxScanned = 32
	maxLookups = 8
)

// contains reports whether a list of the pod as received has the element.
func contains[L ~[]E, E comparable](p *plan, list *L, e E) bool {
	if x := indexOf[E](p, list, len(*list)); x != nil {
		return x.find(e, len(*list), func(i int) E { return (*list)[i] }) >= 0
	}
	return slices.Contains(*list, e)
}

// findAdded returns the first addition with the key, or nil.
func findAdded[K comparable, P encoded](p *plan, list *[]addition[P], key K, keyOf func(P) K) *addition[P] {
	var i int
	if x := indexOf[K](p, list, len(*list)); x != nil {
		i = x.find(key, len(*list), func(i int) K { return keyOf((*list)[i].element) })
	} else {
		i = slices.IndexFunc(*list, func(a addition[P]) bool { return keyOf(a.element) == key })
	}
	if i < 0 {
		return nil
	}
	return &(*list)[i]
}

// indexOf returns the index of a list, or nil if the list should be scanned. The pointer to the list
// identifies it. The list may only grow.
func indexOf[K comparable](p *plan, list any, length int) *index[K] {
	if length <= maxScanned {
		return nil
	}
	x, found := p.indexes[list].(*index[K])
	if !found {
		x = new(index[K])
		p.keepIndex(list, x)
	}
	if x.lookups++; x.lookups <= maxLookups {
		return nil
	}
	return x
}

func (p *plan) keepIndex(list, index any) {
	if p.indexes == nil {
		p.indexes = make(map[any]any)
	}
	p.indexes[list] = index
}

// find returns the position of the first element with the key, or -1.
func (x *index[K]) find(key K, length int, keyAt func(int) K) int {
	if x.positions == nil {
		x.positions = make(map[K]int, length)
	}
	for ; x.indexed < length; x.indexed++ {
		next := keyAt(x.indexed)
		if _, found := x.positions[next]; !found {
			x.positions[next] = x.indexed
		}
	}
	if i, found := x.positions[key]; found {
		return i
	}
	return -1
}
