// Package jsonview decodes a view of a JSON document: a struct with only the fields that are needed. It skips all
// others at about the speed of reading them.
//
// It is a fast path for go-json-experiment/json, not a replacement. [View.Unmarshal] accepts a subset of what that
// library accepts, and decodes it to the same value. For anything else it returns false, and the caller decodes the
// document with the library, which also describes the error.
//
// The package imports nothing of this module. Its fuzz test compares it with the library.
package jsonview
