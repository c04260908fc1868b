package jsonview

import (
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
)

// View decodes values of one type. It is immutable and safe for concurrent use.
type View[T any] struct {
	decode decode
	memory reflect.Type
}

// Limits are the limits of a list or map.
type Limits struct {
	Max       int  // the number of elements
	DropEmpty bool // leaves out the elements of a list that are zero values
}

// Limited is implemented by the types of lists and maps in a view.
type Limited interface {
	Limits() Limits
}

// List is implemented by pointers to lists in a view.
type List interface {
	// Cut removes the elements before start, and the capacity. Lists share memory.
	Cut(start int)
}

// Indexed is implemented by pointers to elements that keep their index in the list as received.
type Indexed interface {
	SetIndex(index int)
}

// Of returns the view of a type: a struct with json tags that consists of strings, booleans, integers, structs,
// pointers, and Limited lists and maps of strings. The view decodes no document with a value of another type.
func Of[T any]() View[T] {
	c := &compiler{decoders: make(map[reflect.Type]decode)}
	decode := c.compile(reflect.TypeFor[T]())
	if len(c.reserved) > maxReserved {
		decode = decodeNothing
	}
	return View[T]{decode, reflect.StructOf(c.reserved)}
}

// Unmarshal decodes a document into a zero value. If it returns false, the value is undefined, and the document may be
// valid or not.
func (v View[T]) Unmarshal(document []byte, value *T) bool {
	if len(document) > math.MaxInt32 {
		return false
	}
	s := &scanner{data: document, memory: memory{reserved: reflect.New(v.memory).Elem()}}
	return v.decode(s, reflect.ValueOf(value).Elem()) && s.next() == 0 && s.at == len(document)
}

// decode consumes a value and sets v, which is a zero value.
type decode func(s *scanner, v reflect.Value) bool

// compile returns the decoder of a type.
func (c *compiler) compile(t reflect.Type) decode {
	decoder, found := c.decoders[t]
	if !found {
		decoder = c.compileNew(t)
		c.decoders[t] = decoder
	}
	return decoder
}

func (c *compiler) compileNew(t reflect.Type) decode {
	limited := t.Implements(reflect.TypeFor[Limited]())
	if !limited && reflect.PointerTo(t).Implements(reflect.TypeFor[json.UnmarshalerFrom]()) {
		return decodeNothing
	}
	switch kind := t.Kind(); {
	case kind == reflect.String:
		return decodeString
	case kind == reflect.Bool:
		return decodeBool
	case kind == reflect.Int32:
		return decodeInt32
	case kind == reflect.Pointer:
		return c.compilePointer(t)
	case kind == reflect.Struct:
		return c.compileStruct(t)
	case kind == reflect.Slice && limited && reflect.PointerTo(t).Implements(reflect.TypeFor[List]()):
		return c.compileSlice(t)
	case kind == reflect.Map && limited:
		return compileMap(t)
	}
	return decodeNothing
}

func decodeNothing(*scanner, reflect.Value) bool { return false }

func decodeString(s *scanner, v reflect.Value) bool {
	text, ok := s.text()
	v.SetString(text)
	return ok
}

func decodeBool(s *scanner, v reflect.Value) bool {
	if s.next() == 't' {
		v.SetBool(true)
		return s.literal("true")
	}
	return s.null() || s.literal("false")
}

func decodeInt32(s *scanner, v reflect.Value) bool {
	if s.null() {
		return true
	}
	text, ok := s.number()
	if !ok {
		return false
	}
	number, err := strconv.ParseInt(string(text), 10, 32)
	v.SetInt(number)
	return err == nil
}

func (c *compiler) compilePointer(t reflect.Type) decode {
	index, element := c.reserveTargets(t.Elem()), c.compile(t.Elem())
	return func(s *scanner, v reflect.Value) bool {
		if s.null() {
			return true
		}
		target := s.memory.target(t.Elem(), index)
		v.Set(target.Addr())
		return element(s, target)
	}
}

func (c *compiler) compileSlice(t reflect.Type) decode {
	shared, outer := c.reserve(t), c.inList
	c.inList = true
	element := c.compile(t.Elem())
	c.inList = outer
	empty := reflect.MakeSlice(t, 0, 0)
	limits := reflect.Zero(t).Interface().(Limited).Limits()
	indexed := reflect.PointerTo(t.Elem()).Implements(reflect.TypeFor[Indexed]())
	return func(s *scanner, v reflect.Value) bool {
		if s.null() {
			return true
		}
		elements := s.memory.list(shared)
		start := elements.Len()
		ok := s.list('[', ']', func(index int) bool {
			start = extend(elements, v, start)
			kept := elements.Len() - 1
			last := elements.Index(kept)
			if index == limits.Max || !element(s, last) {
				return false
			}
			switch {
			case limits.DropEmpty && last.IsZero():
				elements.SetLen(kept)
			case indexed:
				last.Addr().Interface().(Indexed).SetIndex(index)
			}
			return true
		})
		if elements.Len() == start {
			v.Set(empty)
			return ok
		}
		v.Set(elements)
		v.Addr().Interface().(List).Cut(start)
		return ok
	}
}

func compileMap(t reflect.Type) decode {
	type texts = map[string]string
	if !t.ConvertibleTo(reflect.TypeFor[texts]()) {
		return decodeNothing
	}
	limits := reflect.Zero(t).Interface().(Limited).Limits()
	return func(s *scanner, v reflect.Value) bool {
		if s.null() {
			return true
		}
		members := make(texts)
		v.Set(reflect.ValueOf(members).Convert(t))
		return s.members(func(name token) bool {
			key, ok := s.unquote(name)
			if _, found := members[key]; !ok || found || len(members) == limits.Max {
				return false
			}
			members[key], ok = s.text()
			return ok
		})
	}
}

// field is a field of a struct.
type field struct {
	index  int
	decode decode
}

// maxFields is how many fields a struct may have, because a bit of an integer represents each of them.
const maxFields = 64

func (c *compiler) compileStruct(t reflect.Type) decode {
	fields := make(map[string]field) // by the name in quotes
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case !f.IsExported() || name == "-":
		case f.Anonymous || name == "" || i >= maxFields:
			return decodeNothing
		default:
			fields[`"`+name+`"`] = field{i, c.compile(f.Type)}
		}
	}
	return func(s *scanner, v reflect.Value) bool {
		if s.null() {
			return true
		}
		first := s.count
		var found uint64
		ok := s.members(func(name token) bool {
			f, known := fields[string(s.bytes(name))]
			if !known {
				return s.distinct(name, first) && s.skip()
			}
			bit := uint64(1) << f.index
			if found&bit != 0 {
				return false
			}
			found |= bit
			return f.decode(s, v.Field(f.index))
		})
		s.count = first
		return ok
	}
}
