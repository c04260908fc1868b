package cli

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/go-multierror"
	"github.com/spf13/pflag"
)

// fromVariable is the key of an annotation of the flags that an environment variable has set.
const fromVariable = "from-variable"

// variableOf returns the environment variable of a flag, or "" if it has none. The usage of the flag ends with it, as
// in `port of the webhook, HTTPS [$TLS_PORT]`.
func variableOf(flag *pflag.Flag) string {
	_, variable, _ := strings.Cut(strings.TrimSuffix(flag.Usage, "]"), " [$")
	return variable
}

// flagErrors collects the errors of the flags of a command, so that all are reported at once.
type flagErrors struct {
	flags *pflag.FlagSet
	errs  []error
}

// readEnvironment sets the flags that are not on the command line from their variables. An empty variable counts as
// unset. The result has an error for each invalid value.
func readEnvironment(flags *pflag.FlagSet, getenv func(string) string) *flagErrors {
	e := &flagErrors{flags: flags}
	flags.VisitAll(func(flag *pflag.Flag) {
		variable := variableOf(flag)
		if variable == "" || flag.Changed {
			return
		}
		value := getenv(variable)
		if value == "" {
			return
		}
		_ = flags.SetAnnotation(flag.Name, fromVariable, nil) // the flag exists
		if err := flags.Set(flag.Name, value); err != nil {
			// pflag's own text is about the command line.
			e.add(flag.Name, fmt.Errorf("%q: %w", value, cmp.Or(errors.Unwrap(err), err)))
		}
	})
	return e
}

// add adds an error that begins with the name of a flag, unless the error is nil.
func (e *flagErrors) add(name string, err error) {
	if err != nil {
		e.errs = append(e.errs, fmt.Errorf("%s: %w", e.name(name), err))
	}
}

// addf adds an error that is not about the value of one flag.
func (e *flagErrors) addf(format string, args ...any) {
	e.errs = append(e.errs, fmt.Errorf(format, args...))
}

// checkName adds an error if the value of a flag is not a valid name. The function is one of
// k8s.io/apimachinery/pkg/util/validation.
func (e *flagErrors) checkName(name, value string, validate func(string) []string) {
	if problems := validate(value); len(problems) > 0 {
		e.add(name, fmt.Errorf("%q: %s", value, strings.Join(problems, "; ")))
	}
}

// checkUnused adds an error for each flag on the command line that has no effect without another.
func (e *flagErrors) checkUnused(without string, names ...string) {
	for _, name := range names {
		if e.onCommandLine(name) {
			e.addf("--%s has no effect without --%s", name, without)
		}
	}
}

// onCommandLine reports whether a flag is on the command line.
func (e *flagErrors) onCommandLine(name string) bool {
	flag := e.flags.Lookup(name)
	_, ok := flag.Annotations[fromVariable]
	return flag.Changed && !ok
}

// name returns a flag as errors name it, with the variable if the value came from there.
func (e *flagErrors) name(name string) string {
	flag := e.flags.Lookup(name)
	if _, ok := flag.Annotations[fromVariable]; ok {
		return fmt.Sprintf("--%s (from %s)", name, variableOf(flag))
	}
	return "--" + name
}

func (e *flagErrors) err() error { return aggregate(e.errs...) }

// aggregate returns one error for several, with one line for each. It skips nil and returns nil if nothing is left.
func aggregate(errs ...error) error {
	all := multierror.Append(nil, errs...)
	all.ErrorFormat = func(errs []error) string { return strings.Join(texts(errs, error.Error), "\n  ") }
	return all.ErrorOrNil()
}

// texts returns the text of each item.
func texts[T any](items []T, text func(T) string) []string {
	list := make([]string, len(items))
	for i, item := range items {
		list[i] = text(item)
	}
	return list
}
