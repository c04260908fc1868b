// Package params holds the parameters of a sidecar definition: their types and bounds, fields of a
// pod, and placeholders such as ${name}.
//
// A [Parameter] is declared by the author of a definition. A [Scope] parses the strings of a decoded
// definition into [Text] values, and [Substitute] replaces these by the values for one pod. A value
// becomes exactly one string, number or boolean: it is never parsed as YAML or JSON, so it cannot add a
// field.
//
// The schema of a definition, and the fields that may have no placeholder, are in package conf.
package params
