package conf

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
)

// compactJSON returns JSON with sorted keys and without HTML escapes.
func compactJSON(value any) ([]byte, error) { return appendJSON(nil, value) }

// appendJSON appends the JSON of a decoded value. It is json.Encoder for the types that a tree has, without
// reflection.
func appendJSON(buffer []byte, value any) ([]byte, error) {
	switch value := value.(type) {
	case tree:
		return appendObject(buffer, value)
	case []any:
		return appendList(buffer, value)
	case json.Number:
		return append(buffer, value...), nil
	case bool:
		return strconv.AppendBool(buffer, value), nil
	case nil:
		return append(buffer, "null"...), nil
	case string:
		if isPlainText(value) {
			buffer = append(buffer, '"')
			buffer = append(buffer, value...)
			return append(buffer, '"'), nil
		}
	}
	var other bytes.Buffer
	encoder := json.NewEncoder(&other)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return append(buffer, bytes.TrimSuffix(other.Bytes(), []byte("\n"))...), err
}

func appendObject(buffer []byte, object tree) ([]byte, error) {
	if object == nil {
		return append(buffer, "null"...), nil
	}
	var err error
	buffer = append(buffer, '{')
	for i, key := range sortedKeys(object) {
		if i > 0 {
			buffer = append(buffer, ',')
		}
		if buffer, err = appendJSON(buffer, key); err != nil {
			return buffer, err
		}
		buffer = append(buffer, ':')
		if buffer, err = appendJSON(buffer, object[key]); err != nil {
			return buffer, err
		}
	}
	return append(buffer, '}'), nil
}

// sortedKeys is slices.Sorted(maps.Keys(object)) with one allocation.
func sortedKeys(object tree) []string {
	keys := make([]string, 0, len(object))
	for key := range object {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func appendList(buffer []byte, list []any) ([]byte, error) {
	if list == nil {
		return append(buffer, "null"...), nil
	}
	var err error
	buffer = append(buffer, '[')
	for i, element := range list {
		if i > 0 {
			buffer = append(buffer, ',')
		}
		if buffer, err = appendJSON(buffer, element); err != nil {
			return buffer, err
		}
	}
	return append(buffer, ']'), nil
}

// isPlainText reports whether JSON has the text as it is, without escapes.
func isPlainText(text string) bool {
	for i := range len(text) {
		if b := text[i]; b < ' ' || b == '"' || b == '\\' || b > '~' {
			return false
		}
	}
	return true
}
