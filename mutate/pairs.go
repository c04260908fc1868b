package mutate

import (
	"fmt"
	"iter"

	"github.com/go-json-experiment/json/jsontext"
)

// Pairs is a map of strings in the order in which the request has it. The zero Pairs is one
// that is absent or null.
type Pairs struct {
	present bool
	text    []byte // keys and values, one after the other
	ends    []pairEnds
	values  map[string]string // by key; nil where there are only few
}

// fewPairs are searched faster without a map.
const fewPairs = 64

// pairEnds are where a key and its value end; the key begins where the pair before ends.
type pairEnds struct {
	key, value int
}

// UnmarshalJSONFrom reads an object of at most mostElements strings. A null value counts as the empty string, as
// for any map[string]string of the API.
func (p *Pairs) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	*p = Pairs{}
	if decoder.PeekKind() == 'n' {
		return decoder.SkipValue()
	}
	if decoder.PeekKind() != '{' {
		return wrongKind(decoder)
	}
	if _, err := decoder.ReadToken(); err != nil {
		return err
	}
	p.present = true
	for decoder.PeekKind() == '"' {
		if len(p.ends) == mostElements {
			return fmt.Errorf("more than %d elements", mostElements)
		}
		if err := p.readOne(decoder); err != nil {
			return err
		}
	}
	if len(p.ends) > fewPairs {
		p.values = make(map[string]string, len(p.ends))
		for key, value := range p.all() {
			if _, twice := p.values[string(key)]; !twice {
				p.values[string(key)] = string(value)
			}
		}
	}
	_, err := decoder.ReadToken()
	return err
}

func (p *Pairs) readOne(decoder *jsontext.Decoder) error {
	if err := p.readText(decoder); err != nil {
		return err
	}
	key := len(p.text)
	switch decoder.PeekKind() {
	case '"':
		if err := p.readText(decoder); err != nil {
			return err
		}
	case 'n':
		if err := decoder.SkipValue(); err != nil {
			return err
		}
	default:
		return wrongKind(decoder)
	}
	p.ends = append(p.ends, pairEnds{key: key, value: len(p.text)})
	return nil
}

func (p *Pairs) readText(decoder *jsontext.Decoder) error {
	quoted, err := decoder.ReadValue()
	if err != nil {
		return err
	}
	p.text, err = jsontext.AppendUnquote(p.text, quoted)
	return err
}

// wrongKind reports a value of another kind than the API gives it, or no value at all.
func wrongKind(decoder *jsontext.Decoder) error {
	if decoder.PeekKind() == jsontext.KindInvalid {
		return decoder.SkipValue()
	}
	return unexpected(decoder.PeekKind())
}

// all gives keys and values, which are not to be changed or kept.
func (p *Pairs) all() iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		start := 0
		for _, end := range p.ends {
			if !yield(p.text[start:end.key], p.text[end.key:end.value]) {
				return
			}
			start = end.value
		}
	}
}

// find returns the value of a key, of the first one where the key is there twice.
func (p *Pairs) find(key string) (string, bool) {
	if p.values != nil {
		value, found := p.values[key]
		return value, found
	}
	for k, value := range p.all() {
		if string(k) == key {
			return string(value), true
		}
	}
	return "", false
}

// findIn gives the value of namespace/name.
func (p *Pairs) findIn(namespace, name string) (string, bool) {
	for k, value := range p.all() {
		if len(k) == len(namespace)+1+len(name) && string(k[:len(namespace)]) == namespace &&
			k[len(namespace)] == '/' && string(k[len(namespace)+1:]) == name {
			return string(value), true
		}
	}
	return "", false
}

func (p *Pairs) has(key string) bool {
	_, found := p.find(key)
	return found
}
