package cli

import "k8s-sidecar-injector/conf"

// hiddenValue is a value that may be secret, which is compared and not shown.
type hiddenValue struct{ value any }

// MarshalJSON implements json.Marshaler.
func (hiddenValue) MarshalJSON() ([]byte, error) { return []byte(`"(hidden)"`), nil }

// hideValues returns a copy of a decoded definition with a hiddenValue for each value that may be secret.
func hideValues(definition any) any { return hideIn("", definition) }

// hideIn copies the value of a field. The elements of a list belong to the field of the list.
func hideIn(field string, value any) any {
	switch value := value.(type) {
	case map[string]any:
		members := make(map[string]any, len(value))
		for key, member := range value {
			if conf.IsSecret(field, key) {
				members[key] = hiddenValue{member}
			} else {
				members[key] = hideIn(key, member)
			}
		}
		return members
	case []any:
		elements := make([]any, len(value))
		for i, element := range value {
			elements[i] = hideIn(field, element)
		}
		return elements
	}
	return value
}
