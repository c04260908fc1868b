package jsonview

import (
	"fmt"
	"reflect"
)

const (
	maxReserved  = 64 // reservations of a view
	chunkLength  = 8  // of the memory that short lists share
	listPointers = 4  // targets that are reserved for a pointer in a list
)

// compiler compiles the decoder of a type. It reserves memory for the targets of pointers and the headers of lists,
// which are one allocation for each document.
type compiler struct {
	decoders map[reflect.Type]decode
	reserved []reflect.StructField
	inList   bool // the type is in a list
}

// reserve returns the index of the memory of a type.
func (c *compiler) reserve(t reflect.Type) int {
	index := len(c.reserved)
	c.reserved = append(c.reserved, reflect.StructField{Name: fmt.Sprintf("Field%d", index), Type: t})
	return index
}

// reserveTargets returns the index of the memory of a few targets of a pointer.
func (c *compiler) reserveTargets(t reflect.Type) int {
	if c.inList {
		return c.reserve(reflect.ArrayOf(listPointers, t))
	}
	return c.reserve(reflect.ArrayOf(1, t))
}

// memory is the reserved memory of a document.
type memory struct {
	reserved reflect.Value
	targets  [maxReserved]uint8 // how many of the reserved targets are in use
}

// target returns a zero value of type t for a pointer.
func (m *memory) target(t reflect.Type, index int) reflect.Value {
	targets, used := m.reserved.Field(index), int(m.targets[index])
	if used == targets.Len() {
		return reflect.New(t).Elem()
	}
	m.targets[index]++
	return targets.Index(used)
}

// list returns the elements of all lists of a type. The last one is the current list.
func (m *memory) list(index int) reflect.Value { return m.reserved.Field(index) }

// extend adds a zero element to the current list, which begins at start, and returns its new start. Without room,
// it moves the list to a new chunk, and the other lists keep the old one. It overwrites spare, a list of the type.
func extend(elements, spare reflect.Value, start int) int {
	length := elements.Len()
	if length < elements.Cap() {
		elements.SetLen(length + 1)
		return start
	}
	spare.Set(elements)
	elements.SetZero()
	elements.Grow(max(chunkLength, 2*(length-start)))
	elements.SetLen(length - start + 1)
	for i := start; i < length; i++ {
		elements.Index(i - start).Set(spare.Index(i))
	}
	return 0
}
