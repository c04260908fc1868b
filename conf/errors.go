package conf

import (
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
	// Line is the line of the file or key, from 1; 0 when it is not known.
	Line int
	// Err says what is wrong; it begins with the field path where there is one.
	Err error
}

// Error gives `file conf/logger.yaml:14: containers[1].imagePullPolicy: …`, in one line
// whatever keys and file names have in them.
func (e *Error) Error() string {
	text := fmt.Sprintf("%s:%d: %v", e.Origin.text(), e.Line, e.Err)
	if e.Line == 0 {
		text = fmt.Sprintf("%s: %v", e.Origin, e.Err)
	}
	return printable(text)
}

// printable shows in the place of each character that cannot be seen that there is one.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}

// Unwrap gives what is wrong, without the place.
func (e *Error) Unwrap() error {
	return e.Err
}

// oneLine is how a multierror of this package prints: one event per line is a promise of
// the log, and go-multierror's own format has several lines.
func oneLine(errs []error) string {
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func joined(errs []error) *multierror.Error {
	return &multierror.Error{Errors: errs, ErrorFormat: oneLine}
}

// mostFaults is how many faults of one document are reported, and mostPath how long a field
// path may be: a wrong file must not become a log line of megabytes.
const (
	mostFaults = 50
	mostPath   = 300
)

// findings are faults of one document, the first of them and how many more there are.
type findings struct {
	first field.ErrorList
	more  int
}

func (f *findings) add(faults ...*field.Error) {
	for _, fault := range faults {
		if len(f.first) == mostFaults {
			f.more++
			continue
		}
		f.first = append(f.first, fault)
	}
}

// sortFaults gives faults that were found in the random order of a map a stable one.
func sortFaults(faults field.ErrorList) {
	slices.SortStableFunc(faults, func(a, b *field.Error) int { return strings.Compare(a.Field, b.Field) })
}
