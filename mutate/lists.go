package mutate

import (
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"k8s-sidecar-injector/mutate/jsonview"
)

// The limits of lists and maps are beyond any pod that an API server can store. In a request, an
// empty object has three bytes, but in a slice it has many. So lists also drop empty elements, which
// do not matter to merging. Null is nil, and an empty list is not.
const (
	maxContainers = 250
	maxVolumes    = 1_000
	maxElements   = 10_000
)

// LimitError is the error of decoding a pod whose list or map is too long.
type LimitError struct {
	Limit int
	What  string
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("more than %d %s", e.Limit, e.What)
}

// List is a list of at most maxElements, without its empty elements.
type List[E comparable] []E

// Limits returns the limits of the list.
func (List[E]) Limits() jsonview.Limits { return jsonview.Limits{Max: maxElements, DropEmpty: true} }

// Cut removes the elements before start.
func (l *List[E]) Cut(start int) { *l = slices.Clip((*l)[start:]) }

// UnmarshalJSONFrom decodes the list.
func (l *List[E]) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	return decodeList(decoder, (*[]E)(l), maxElements, "elements", func(_ int, e *E) bool { return *e != *new(E) })
}

// Mounts is a list of mounts. Each has its index.
type Mounts []Mount

// Limits returns the limits of the list.
func (Mounts) Limits() jsonview.Limits { return jsonview.Limits{Max: maxElements, DropEmpty: true} }

// SetIndex sets the index in the list as received.
func (m *Mount) SetIndex(index int) { m.index = index }

// Cut removes the elements before start.
func (m *Mounts) Cut(start int) { *m = slices.Clip((*m)[start:]) }

// UnmarshalJSONFrom decodes the list.
func (m *Mounts) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	return decodeList(decoder, (*[]Mount)(m), maxElements, "elements", func(index int, e *Mount) bool {
		keep := *e != Mount{}
		e.index = index
		return keep
	})
}

// Variables is a list of variables with a name. Each has its index.
type Variables []Variable

// UnmarshalJSONFrom decodes the list.
func (v *Variables) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	return decodeList(decoder, (*[]Variable)(v), maxElements, "elements", func(index int, e *Variable) bool {
		e.index = index
		return e.Name != ""
	})
}

// Containers is a list of at most maxContainers. Null elements are nil.
type Containers []*Container

// Limits returns the limits of the list.
func (Containers) Limits() jsonview.Limits { return jsonview.Limits{Max: maxContainers} }

// Cut removes the elements before start.
func (c *Containers) Cut(start int) { *c = slices.Clip((*c)[start:]) }

// UnmarshalJSONFrom decodes the list.
func (c *Containers) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	keep := func(int, **Container) bool { return true }
	return decodeList(decoder, (*[]*Container)(c), maxContainers, "containers", keep)
}

// Volumes is a list of at most maxVolumes.
type Volumes []Named

// Limits returns the limits of the list.
func (Volumes) Limits() jsonview.Limits { return jsonview.Limits{Max: maxVolumes} }

// Cut removes the elements before start.
func (v *Volumes) Cut(start int) { *v = slices.Clip((*v)[start:]) }

// UnmarshalJSONFrom decodes the list.
func (v *Volumes) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	keep := func(int, *Named) bool { return true }
	return decodeList(decoder, (*[]Named)(v), maxVolumes, "volumes", keep)
}

// decodeList decodes a list of at most limit elements, and keeps some of them.
func decodeList[E any](
	decoder *jsontext.Decoder, list *[]E, limit int, what string, keep func(index int, e *E) bool,
) error {
	*list = nil
	if decoder.PeekKind() != '[' {
		return json.UnmarshalDecode(decoder, list) // null, or an error
	}
	if _, err := decoder.ReadToken(); err != nil {
		return err
	}
	kept := []E{}
	for index := 0; decoder.PeekKind() != ']'; index++ {
		if index == limit {
			return &LimitError{limit, what}
		}
		kept = append(kept, *new(E))
		last := &kept[len(kept)-1]
		if err := json.UnmarshalDecode(decoder, last); err != nil {
			return err
		}
		if !keep(index, last) {
			kept = kept[:len(kept)-1]
		}
	}
	*list = kept
	_, err := decoder.ReadToken()
	return err
}

// Map is a map of at most maxElements strings. Null values are empty strings.
type Map map[string]string

// Limits returns the limits of the map.
func (Map) Limits() jsonview.Limits { return jsonview.Limits{Max: maxElements} }

// size returns how many bytes the keys and values have.
func (m Map) size() (size int) {
	for key, value := range m {
		size += len(key) + len(value)
	}
	return size
}

// UnmarshalJSONFrom decodes the map.
func (m *Map) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	*m = nil
	if decoder.PeekKind() != '{' {
		return json.UnmarshalDecode(decoder, (*map[string]string)(m)) // null, or an error
	}
	values, value := make(Map), new(string)
	*m = values
	return decodeMembers(decoder, func(key string) error {
		err := json.UnmarshalDecode(decoder, value)
		values[key] = *value
		return err
	})
}

// Fields is an object with at most maxElements members. Members that are null are left out.
type Fields map[string]jsontext.Value

// UnmarshalJSONFrom decodes the object.
func (f *Fields) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	*f = nil
	if decoder.PeekKind() != '{' {
		return json.UnmarshalDecode(decoder, (*map[string]jsontext.Value)(f)) // null, or an error
	}
	*f = make(Fields)
	return decodeMembers(decoder, func(key string) error { return f.decodeMember(decoder, key) })
}

func (f *Fields) decodeMember(decoder *jsontext.Decoder, key string) error {
	value, err := decoder.ReadValue()
	if err == nil && value.Kind() != 'n' {
		(*f)[key] = value.Clone()
	}
	return err
}

// decodeMembers decodes an object with at most maxElements members.
func decodeMembers(decoder *jsontext.Decoder, decodeMember func(key string) error) error {
	if _, err := decoder.ReadToken(); err != nil {
		return err
	}
	for count := 0; decoder.PeekKind() == '"'; count++ {
		if count == maxElements {
			return &LimitError{maxElements, "elements"}
		}
		token, err := decoder.ReadToken()
		if err != nil {
			return err
		}
		if err := decodeMember(token.String()); err != nil {
			return err
		}
	}
	_, err := decoder.ReadToken()
	return err
}
