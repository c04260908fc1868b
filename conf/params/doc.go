// Package params holds the parameters of a sidecar definition: their types and bounds, fields of a
// pod, and placeholders such as ${name}.
//
// A [Declaration] is a parameter as its author writes it, and a [Parameter] is the same ready to check
// values. A [Scope] parses the strings of a decoded definition into [Text] values, and [Substitute]
// replaces these by the values for one pod. A value becomes exactly one string, number or boolean: it
// is never parsed as YAML or JSON, so it cannot add a field.
//
// The schema of a definition, and the fields that may have no placeholder, are in package conf.
package params
