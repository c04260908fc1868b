package conf

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/hashicorp/go-multierror"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Error is one fault of one document.
type Error struct {
	Origin Origin
	// Line is the line in the file or key, from 1. It is 0 if the line is not known.
	Line int
	// Err is the fault. Its message begins with the field path, if there is one.
	Err error
}

// Error returns `file conf/logger.yaml:14: containers[1].imagePullPolicy: …` in one line. Characters of keys and
// file names that are not printable are replaced.
func (e *Error) Error() string {
	text := fmt.Sprintf("%s:%d: %v", e.Origin.fileString(), e.Line, e.Err)
	if e.Line == 0 {
		text = fmt.Sprintf("%s: %v", e.Origin, e.Err)
	}
	return printable(text)
}

// Split returns the path of the faulty field and the rest of the message of Err. The field is empty if the fault is
// not about one field.
func (e *Error) Split() (at, message string) {
	if fault, ok := errors.AsType[*field.Error](e.Err); ok {
		return printable(fault.Field), printable(fault.ErrorBody())
	}
	if w, ok := errors.AsType[*warning](e.Err); ok {
		return printable(w.Field), printable(w.Detail)
	}
	return "", printable(e.Err.Error())
}

// Unwrap returns the fault without its position.
func (e *Error) Unwrap() error {
	return e.Err
}

// printable replaces each character that is not printable.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}

// joined returns a multierror that is formatted in one line. Each log event must be one line.
func joined(faults []*Error) *multierror.Error {
	errs := &multierror.Error{ErrorFormat: oneLine}
	for _, fault := range faults {
		errs.Errors = append(errs.Errors, fault)
	}
	return errs
}

func oneLine(errs []error) string {
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

// These limits bound the log line of a rejected document.
const (
	mostFaults = 50  // faults that are reported
	mostPath   = 300 // bytes of a field path
)

// firstFaults returns the faults that are reported.
func firstFaults(faults field.ErrorList) field.ErrorList {
	return faults[:min(len(faults), mostFaults)]
}

// unlessBelow drops the faults that follow from a known one that is reported: faults at or below its field, and
// faults of an object that lacks a member because the member is invalid.
func unlessBelow(known, more field.ErrorList) field.ErrorList {
	known = firstFaults(known)
	return slices.DeleteFunc(slices.Clone(more), func(fault *field.Error) bool {
		mayMiss := fault.Type == field.ErrorTypeRequired || fault.Type == field.ErrorTypeInvalid
		return slices.ContainsFunc(known, func(k *field.Error) bool {
			return below(k.Field, fault.Field) || mayMiss && below(fault.Field, k.Field)
		})
	})
}

// below reports whether a field path is the field or is below it.
func below(field, path string) bool {
	rest, found := strings.CutPrefix(path, field)
	return found && (rest == "" || rest[0] == '.' || rest[0] == '[')
}
