package jsonview_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"k8s-sidecar-injector/mutate/jsonview"
)

// document is a view with each kind of field.
type document struct {
	Text    string           `json:"text"`
	Flag    bool             `json:"flag"`
	Number  int32            `json:"number"`
	Pointer *string          `json:"pointer"`
	Object  element          `json:"object"`
	List    list[*element]   `json:"list"`
	Lists   list[list[bool]] `json:"lists"`
	Map     texts            `json:"map"`
	Ignored func()           `json:"-"`
}

type element struct {
	Name string `json:"name,omitempty"`
	Next *struct {
		Size *int32 `json:"size"`
	} `json:"next"`
}

type list[E any] []E

func (list[E]) Limits() jsonview.Limits { return jsonview.Limits{Max: 1 << 20} }

func (l *list[E]) Cut(start int) { *l = slices.Clip((*l)[start:]) }

type texts map[string]string

func (texts) Limits() jsonview.Limits { return jsonview.Limits{Max: 1 << 20} }

var accepted = []string{
	`{}`, "null", " {\n\t\"text\" : \"a\" ,\r\"flag\": true} \n",
	`{"text":"a","flag":false,"number":-12,"pointer":"p","object":{"name":"o","next":{"size":3}}}`,
	`{"text":null,"flag":null,"number":null,"pointer":null,"object":null,"list":null,"lists":null,"map":null}`,
	`{"list":[],"lists":[[],[true],[false,null],null],"map":{}}`,
	`{"map":{"":"empty","a":null,"\u0061b\n":"\u003c\/"}}`,
	`{"list":[null,{},{"name":"a"},{"name":"b"},{"name":"c"},{"name":"d","next":null}]}`,
	`{"text":"\"\\\/\b\f\n\r\t\u003c\u00e9\uFFFF"}`, `{"text":"é 中 😀"}`,
	`{"x":[1,0,-1,1.5,1e9,-0.1E-3,true,false,null,"\"",{"a":{"b":[[]]}}],"y":{},"text":"t"}`,
	`{"text":"` + strings.Repeat("long", 1000) + `"}`,
	`{"x":{"a":1,"a":2}}`,
}

// declined documents are invalid, or so unusual that speed does not matter.
var declined = []string{
	``, ` `, `x`, `{`, `}`, `{}}`, `{},`, `{"text"}`, `{"text":}`, `{"text":"a",}`, `{,}`, `{"text" "a"}`, `{text:1}`,
	`{"text":"a`, `{"text":"a\`, `{"text":"\x"}`, `{"text":"\u12"}`, `{"text":"\u12g4"}`, "{\"text\":\"\n\"}",
	"{\"text\":\"\xff\"}", "{\"x\":\"\xc3\"}", `{"x":"\ud83d"}`, `{"x":"\udc00"}`, `{"text":1}`, `{"text":{}}`,
	`{"flag":1}`, `{"flag":"true"}`, `{"flag":tru}`, `{"flag":truefalse}`, `{"x":nul}`, `{"x":nulll}`,
	`{"number":1.5}`, `{"number":"1"}`, `{"number":2147483648}`, `{"number":01}`, `{"number":-}`, `{"number":}`,
	`{"x":01}`, `{"x":1.}`, `{"x":.5}`, `{"x":+1}`, `{"x":1e}`, `{"x":--1}`, `{"x":1 2}`,
	`{"list":{}}`, `{"list":[}`, `{"list":[{},]}`, `{"list":[{} {}]}`, `{"list":[`, `{"map":[]}`, `{"map":{"a":1}}`,
	`{"object":[]}`, `{"object":"a"}`, `{"x":[}`, `{"x":{]`, `{"x":[1,]}`, "{}\x00", "\ufeff{}",
	`{"text":"a","text":"b"}`, `{"x":1,"x":2}`, `{"object":{"y":1,"y":2}}`, `{"map":{"a":"b","a":"b"}}`,
	`{"te\u0078t":"a"}`, `{"\u0078":1}`,
	`{"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`,
}

func TestAccepted(t *testing.T) {
	t.Parallel()
	view := jsonview.Of[document]()
	for _, text := range accepted {
		if got := new(document); !view.Unmarshal([]byte(text), got) {
			t.Errorf("%s is declined", text)
		}
		compare(t, view, []byte(text))
	}
}

func TestDeclined(t *testing.T) {
	t.Parallel()
	view := jsonview.Of[document]()
	for _, text := range declined {
		if got := new(document); view.Unmarshal([]byte(text), got) {
			t.Errorf("%q is decoded as %+v", text, got)
		}
	}
}

// FuzzUnmarshal compares the view with the library: what the view accepts, the library decodes to the same value.
func FuzzUnmarshal(f *testing.F) {
	for _, text := range append(accepted, declined...) {
		f.Add([]byte(text))
	}
	view := jsonview.Of[document]()
	f.Fuzz(func(t *testing.T, text []byte) { compare(t, view, text) })
}

func compare(t *testing.T, view jsonview.View[document], text []byte) {
	t.Helper()
	kept := string(text)
	got, want := new(document), new(document)
	if !view.Unmarshal(text, got) {
		return
	}
	// The names of values that the view skips need not be unique.
	if err := json.Unmarshal(text, want, jsontext.AllowDuplicateNames(true)); err != nil {
		t.Fatalf("%q is decoded, want %v", text, err)
	}
	if string(text) != kept {
		t.Errorf("%q was changed to %q", kept, text)
	}
	clear(text)
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b func()) bool { return a == nil && b == nil })); diff != "" {
		t.Errorf("%q (-want +got):\n%s", kept, diff)
	}
}

// short is a list of at most two numbers without zeros.
type short[E any] []E

func (short[E]) Limits() jsonview.Limits { return jsonview.Limits{Max: 2, DropEmpty: true} }

func (l *short[E]) Cut(start int) { *l = slices.Clip((*l)[start:]) }

type few map[string]string

func (few) Limits() jsonview.Limits { return jsonview.Limits{Max: 2} }

type indexed struct {
	Name  string `json:"name"`
	index int
}

func (i *indexed) SetIndex(index int) { i.index = index }

func TestLimits(t *testing.T) {
	t.Parallel()
	type limited struct {
		List short[indexed] `json:"list"`
		Map  few            `json:"map"`
	}
	view := jsonview.Of[limited]()
	for text, want := range map[string]*limited{
		`{"list":[{},{"name":"b"}]}`:     {List: short[indexed]{{"b", 1}}},
		`{"list":[{"name":"a"},null]}`:   {List: short[indexed]{{"a", 0}}},
		`{"list":[{}]}`:                  {List: short[indexed]{}},
		`{"list":[{},{},{}]}`:            nil,
		`{"map":{"a":"1","b":"2"}}`:      {Map: few{"a": "1", "b": "2"}},
		`{"map":{"a":"","b":"","c":""}}`: nil,
	} {
		got := new(limited)
		if ok := view.Unmarshal([]byte(text), got); ok != (want != nil) || ok && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %t %v, want %v", text, ok, got, want)
		}
	}
}

// Lists of a type share memory, and an element that is appended to one does not change the next one.
func TestSharedMemory(t *testing.T) {
	t.Parallel()
	view := jsonview.Of[document]()
	for length := range 20 {
		text := `{"lists":[[false` + strings.Repeat(",true", length) + "]" +
			strings.Repeat(`,[true],[],null,[true,false]`, 10) + "]}"
		got, want := new(document), new(document)
		if !view.Unmarshal([]byte(text), got) || json.Unmarshal([]byte(text), want) != nil {
			t.Fatalf("%s is declined", text)
		}
		for _, l := range got.Lists {
			_ = append(l, false, false)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

// A type that the view cannot decode as the library does is declined.
func TestUnsupported(t *testing.T) {
	t.Parallel()
	declines[struct {
		F float64 `json:"f"`
	}](t, `{"f":1}`)
	declines[struct {
		F []string `json:"f"`
	}](t, `{"f":[]}`)
	declines[struct {
		F map[string]string `json:"f"`
	}](t, `{"f":{}}`)
	declines[struct {
		F any `json:"f"`
	}](t, `{"f":1}`)
	declines[struct {
		F jsontext.Value `json:"f"`
	}](t, `{"f":1}`)
	declines[struct {
		F custom `json:"f"`
	}](t, `{"f":1}`)
	declines[struct{ Untagged string }](t, `{"Untagged":""}`)
}

func declines[T any](t *testing.T, text string) {
	t.Helper()
	if got := new(T); jsonview.Of[T]().Unmarshal([]byte(text), got) {
		t.Errorf("%s is decoded as %+v", text, got)
	}
}

type custom struct{}

func (*custom) UnmarshalJSONFrom(decoder *jsontext.Decoder) error { return decoder.SkipValue() }
