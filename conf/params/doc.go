// Package params implements the parameters of sidecar definitions: declarations, validation of values,
// and placeholders such as ${name} and ${pod.name}.
//
// The author of a definition declares each [Parameter]. [Scope.Parse] turns a string with placeholders
// into a [Text], and [Substitute] replaces each Text in a decoded definition with the values for one
// pod. The result is one string, number or boolean. It is never parsed as YAML or JSON, so a value
// cannot add a field.
//
// Package conf decides which fields may have placeholders, and mutate looks up the values.
package params
