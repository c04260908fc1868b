package mutate

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// DecodeError returns an error of the JSON decoder without the names of Go types, which mean nothing
// to users, and without the value, which may be a secret. It includes the position as a JSON Pointer,
// after the prefix.
func DecodeError(err error, prefix string) error {
	wrong, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		return errors.New(strings.TrimPrefix(err.Error(), "jsontext: "))
	}
	cause := wrong.Err
	if cause == nil {
		cause = unexpected(wrong.JSONKind)
	}
	if pointer := prefix + string(wrong.JSONPointer); pointer != "" {
		return fmt.Errorf("%q: %w", pointer, cause)
	}
	return cause
}

// unexpected returns an error that names a kind of JSON value.
func unexpected(kind jsontext.Kind) error {
	names := map[jsontext.Kind]string{
		jsontext.KindBeginObject: "object", jsontext.KindBeginArray: "array",
		jsontext.KindTrue: "boolean", jsontext.KindFalse: "boolean",
	}
	return fmt.Errorf("unexpected %s", cmp.Or(names[kind], kind.String()))
}
