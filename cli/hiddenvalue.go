package cli

import "slices"

// hiddenValue is the value of a variable, which is compared and not shown.
type hiddenValue struct{ value any }

// MarshalJSON implements json.Marshaler.
func (hiddenValue) MarshalJSON() ([]byte, error) { return []byte(`"(hidden)"`), nil }

// hideValues returns a copy of a decoded definition with a hiddenValue for each value of a variable.
func hideValues(value any) any {
	switch value := value.(type) {
	case map[string]any:
		members := make(map[string]any, len(value))
		for key, member := range value {
			members[key] = hideValues(member)
			list, isList := members[key].([]any)
			if isList && slices.Contains([]string{"prependEnv", "env", "extendEnv"}, key) {
				hideVariables(list)
			}
		}
		return members
	case []any:
		elements := make([]any, len(value))
		for i := range value {
			elements[i] = hideValues(value[i])
		}
		return elements
	}
	return value
}

func hideVariables(variables []any) {
	for _, variable := range variables {
		members, _ := variable.(map[string]any)
		if value, found := members["value"]; found {
			members["value"] = hiddenValue{value}
		}
	}
}
