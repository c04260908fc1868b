package conf

import "strings"

// IsSecret reports whether a member of the elements of a list may be secret: the values of variables, and of the
// headers of probes and hooks. The list is a field of a definition, or of an object in one.
func IsSecret(list, member string) bool {
	return member == "value" && (strings.HasSuffix(strings.ToLower(list), "env") || list == "httpHeaders")
}
