package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/go-multierror"
	"github.com/spf13/pflag"
)

// The keys of annotations of a flag.
const (
	variableAnnotation     = "variable"      // the environment variable that can set the flag
	fromVariableAnnotation = "from-variable" // present if the variable has set it
)

// bindEnv lets an environment variable set a flag. The help text of the flag names the variable.
func bindEnv(flags *pflag.FlagSet, name, variable string) {
	flag := flags.Lookup(name)
	flag.Usage += " [$" + variable + "]"
	flag.Annotations = map[string][]string{variableAnnotation: {variable}}
}

// variableOf returns the environment variable of a flag, or "" if it has none.
func variableOf(flag *pflag.Flag) string {
	return strings.Join(flag.Annotations[variableAnnotation], "")
}

// readEnvironment sets the flags that are not on the command line from their variables. An empty variable counts as
// unset. The error aggregates all invalid values.
func readEnvironment(flags *pflag.FlagSet, getenv func(string) string) error {
	var errs []error
	flags.VisitAll(func(flag *pflag.Flag) {
		variable := variableOf(flag)
		if variable == "" || flag.Changed {
			return
		}
		if value := getenv(variable); value != "" {
			errs = append(errs, setFromVariable(flags, flag, value))
		}
	})
	return aggregate(errs...)
}

func setFromVariable(flags *pflag.FlagSet, flag *pflag.Flag, value string) error {
	flag.Annotations[fromVariableAnnotation] = nil
	err := flags.Set(flag.Name, value)
	if err == nil {
		return nil
	}
	if cause := errors.Unwrap(err); cause != nil {
		err = cause // pflag's own text is about the command line
	}
	return flagError(flags, flag.Name, "%q: %w", value, err)
}

// setOnCommandLine reports whether a flag is on the command line.
func setOnCommandLine(flags *pflag.FlagSet, name string) bool {
	flag := flags.Lookup(name)
	_, fromVariable := flag.Annotations[fromVariableAnnotation]
	return flag.Changed && !fromVariable
}

// flagName returns a flag as errors name it, with the variable if the value came from there.
func flagName(flags *pflag.FlagSet, name string) string {
	flag := flags.Lookup(name)
	if _, fromVariable := flag.Annotations[fromVariableAnnotation]; fromVariable {
		return fmt.Sprintf("--%s (from %s)", name, variableOf(flag))
	}
	return "--" + name
}

// flagError returns an error that begins with the name of a flag.
func flagError(flags *pflag.FlagSet, name, format string, args ...any) error {
	return fmt.Errorf("%s: %w", flagName(flags, name), fmt.Errorf(format, args...))
}

// validateName returns an error if the value of a flag is not a valid name. The function is one of
// k8s.io/apimachinery/pkg/util/validation.
func validateName(flags *pflag.FlagSet, name, value string, validate func(string) []string) error {
	if problems := validate(value); len(problems) > 0 {
		return flagError(flags, name, "%q: %s", value, strings.Join(problems, "; "))
	}
	return nil
}

// aggregate returns one error for several, with one line for each. It skips nil and returns nil if nothing is left.
func aggregate(errs ...error) error {
	all := multierror.Append(nil, errs...)
	all.ErrorFormat = func(errs []error) string {
		texts := make([]string, len(errs))
		for i, err := range errs {
			texts[i] = err.Error()
		}
		return strings.Join(texts, "\n  ")
	}
	return all.ErrorOrNil()
}
