package mutate

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// DecodeError puts the error of a decoder in the words of who wrote the JSON: where it is, as a
// JSON Pointer that begins with the prefix, and what stands there. It leaves out our Go types,
// and the value, which may be a secret.
func DecodeError(err error, prefix string) error {
	wrong, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		return errors.New(strings.TrimPrefix(err.Error(), "jsontext: "))
	}
	what := wrong.Err
	if what == nil {
		what = unexpected(wrong.JSONKind)
	}
	if pointer := prefix + string(wrong.JSONPointer); pointer != "" {
		return fmt.Errorf("%q: %w", pointer, what)
	}
	return what
}

// unexpected names a kind of value as JSON does.
func unexpected(kind jsontext.Kind) error {
	names := map[jsontext.Kind]string{
		jsontext.KindBeginObject: "object", jsontext.KindBeginArray: "array",
		jsontext.KindTrue: "boolean", jsontext.KindFalse: "boolean",
	}
	return fmt.Errorf("unexpected %s", cmp.Or(names[kind], kind.String()))
}
