package jsonview

import (
	"encoding/binary"
	"math/bits"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// The limits are far from those of reviews.
const (
	maxDepth  = 100 // of nested objects and lists
	maxOthers = 64
)

// scanner reads JSON values from a text. Its methods return false for anything that is not valid JSON, and then the
// rest of the text must not be read.
type scanner struct {
	data   []byte
	at     int // the position of the next byte
	depth  int
	others [maxOthers]token // the names without a field, of the objects that are being decoded
	count  int              // of others
	buffer []byte           // holds one string without its escapes
	texts  texts
	memory memory
}

// token is a string in the text, with its quotes.
type token struct {
	start, end int32
	escaped    bool // has escapes
}

func (s *scanner) bytes(t token) []byte { return s.data[t.start:t.end] }

// whitespace has a bit for each byte that is whitespace.
const whitespace = 1<<' ' | 1<<'\t' | 1<<'\n' | 1<<'\r'

// next skips whitespace and returns the next byte, or 0 if there is none.
func (s *scanner) next() byte {
	for ; s.at < len(s.data); s.at++ {
		if c := s.data[s.at]; c > ' ' || 1<<c&whitespace == 0 {
			return c
		}
	}
	return 0
}

// consume consumes the byte if it is the next one.
func (s *scanner) consume(c byte) bool {
	if s.next() != c {
		return false
	}
	s.at++
	return true
}

// literal consumes a literal if it is the next value.
func (s *scanner) literal(text string) bool {
	s.next()
	if len(s.data)-s.at < len(text) || string(s.data[s.at:s.at+len(text)]) != text {
		return false
	}
	s.at += len(text)
	return true
}

// null consumes null if it is the next value.
func (s *scanner) null() bool {
	return s.next() == 'n' && s.literal("null")
}

// members consumes an object. It calls f at the value of each member, with its name, to consume the value.
func (s *scanner) members(f func(name token) bool) bool {
	return s.list('{', '}', func(int) bool {
		name, ok := s.quoted()
		return ok && s.consume(':') && f(name)
	})
}

// list consumes a list in brackets. It calls f at each element, to consume it.
func (s *scanner) list(opening, closing byte, f func(index int) bool) bool {
	if !s.consume(opening) || s.depth == maxDepth {
		return false
	}
	if s.consume(closing) {
		return true
	}
	s.depth++
	for index := 0; f(index); index++ {
		if s.consume(',') {
			continue
		}
		s.depth--
		return s.consume(closing)
	}
	return false
}

// skip consumes a value. It checks the syntax, but not whether the names of objects are unique.
func (s *scanner) skip() bool {
	switch s.next() {
	case '"':
		_, ok := s.quoted()
		return ok
	case '{':
		return s.list('{', '}', func(int) bool {
			_, ok := s.quoted()
			return ok && s.consume(':') && s.skip()
		})
	case '[':
		return s.list('[', ']', func(int) bool { return s.skip() })
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	}
	_, ok := s.number()
	return ok
}

// number consumes a number and returns it.
func (s *scanner) number() (text []byte, ok bool) {
	s.next()
	start := s.at
	digits := true
	for ; s.at < len(s.data); s.at++ {
		c := s.data[s.at]
		if c < '0' || c > '9' {
			if c != '-' && c != '+' && c != '.' && c|' ' != 'e' {
				break
			}
			digits = false
		}
	}
	text = s.data[start:s.at]
	if digits {
		return text, len(text) == 1 || len(text) > 1 && text[0] != '0'
	}
	return text, jsontext.Value(text).IsValid()
}

// quoted consumes a string.
func (s *scanner) quoted() (t token, ok bool) {
	if s.next() != '"' {
		return token{}, false
	}
	t.start = int32(s.at) //nolint:gosec // Unmarshal limits the length
	s.at++
	for s.at += plain(s.data[s.at:]); s.at < len(s.data); s.at += plain(s.data[s.at:]) {
		size := 1
		switch c := s.data[s.at]; {
		case c == '"':
			s.at++
			t.end = int32(s.at) //nolint:gosec // Unmarshal limits the length
			return t, true
		case c == '\\':
			t.escaped = true
			size = escapeSize(s.data[s.at:])
		case c < ' ':
			size = 0
		case c >= utf8.RuneSelf:
			size = runeSize(s.data[s.at:])
		}
		if size == 0 {
			return token{}, false
		}
		s.at += size
	}
	return token{}, false
}

// plain returns a number of bytes at the beginning of the text that end no string and need no check: neither quotes,
// nor backslashes, nor control characters, nor bytes of multi-byte characters. It looks at eight bytes at a time. Less
// than eight bytes, at the end of the text, are not counted.
func plain(text []byte) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	count := 0
	for ; len(text)-count >= 8; count += 8 {
		x := binary.LittleEndian.Uint64(text[count:])
		// Each term has the high bits of the bytes in question. A subtraction borrows only from bytes after them.
		control, quote, backslash := x-' '*ones, (x^'"'*ones)-ones, (x^'\\'*ones)-ones
		if found := (control | quote | backslash | x) & highs; found != 0 {
			return count + bits.TrailingZeros64(found)/8
		}
	}
	return count
}

// escapeSize returns the size of the escape at the beginning of the text. It returns 0 if the escape is invalid or half
// of a surrogate pair.
func escapeSize(text []byte) int {
	const unicode = len(`\u0000`)
	switch {
	case len(text) < 2:
		return 0
	case strings.IndexByte(`"\/bfnrt`, text[1]) >= 0:
		return 2
	case text[1] != 'u' || len(text) < unicode || text[2]|' ' == 'd' && text[3] >= '8':
		return 0
	}
	for _, c := range text[2:unicode] {
		if strings.IndexByte("0123456789abcdefABCDEF", c) < 0 {
			return 0
		}
	}
	return unicode
}

// runeSize returns the size of the UTF-8 sequence at the beginning of the text, or 0 if it is invalid.
func runeSize(text []byte) int {
	r, size := utf8.DecodeRune(text)
	if r == utf8.RuneError && size == 1 {
		return 0
	}
	return size
}

// text consumes a string and returns a copy of it without quotes and escapes. Null is an empty string.
func (s *scanner) text() (text string, ok bool) {
	if s.null() {
		return "", true
	}
	t, ok := s.quoted()
	if !ok {
		return "", false
	}
	return s.unquote(t)
}

// unquote returns a copy of a string without quotes and escapes.
func (s *scanner) unquote(t token) (text string, ok bool) {
	if !t.escaped {
		return s.texts.keep(s.data[t.start+1 : t.end-1]), true
	}
	var err error
	s.buffer, err = jsontext.AppendUnquote(s.buffer[:0], s.bytes(t))
	return s.texts.keep(s.buffer), err == nil
}

// distinct notes a name without a field. It reports whether the object, whose first such name is others[first], does
// not have the name already.
func (s *scanner) distinct(name token, first int) bool {
	if s.count == maxOthers || name.escaped {
		return false
	}
	for _, other := range s.others[first:s.count] {
		if string(s.bytes(other)) == string(s.bytes(name)) {
			return false
		}
	}
	s.others[s.count] = name
	s.count++
	return true
}
