package cli

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/go-multierror"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	"k8s-sidecar-injector/mutate"
)

// flagSet is a command's flags, each with its environment variable.
type flagSet struct {
	*pflag.FlagSet
	environment map[string]string // flag to variable
	inherited   map[string]bool   // flags whose value came from there
}

func newFlagSet(flags *pflag.FlagSet) flagSet {
	return flagSet{FlagSet: flags, environment: make(map[string]string), inherited: make(map[string]bool)}
}

// env gives a flag that was just defined its variable, and says so in its help.
func (f flagSet) env(name, variable string) {
	f.environment[name] = variable
	flag := f.Lookup(name)
	flag.Usage += " [$" + variable + "]"
	flag.Annotations = map[string][]string{variableAnnotation: {variable}}
}

// variableAnnotation is where a flag has the name of its variable, for those who have the flag
// alone.
const variableAnnotation = "variable"

// variableOf gives the variable of a flag; empty if it has none.
func variableOf(flag *pflag.Flag) string {
	if names := flag.Annotations[variableAnnotation]; len(names) > 0 {
		return names[0]
	}
	return ""
}

// readEnvironment sets the flags that were not given from their variables. An empty variable
// is as good as none. All errors are reported, and each names the flag.
func (f flagSet) readEnvironment(getenv func(string) string) error {
	var faults *multierror.Error
	for _, name := range slices.Sorted(maps.Keys(f.environment)) {
		value := getenv(f.environment[name])
		if f.Changed(name) || value == "" {
			continue
		}
		f.inherited[name] = true
		if err := f.Set(name, value); err != nil {
			if why := errors.Unwrap(err); why != nil {
				err = why // without the words about the command line
			}
			faults = multierror.Append(faults, fmt.Errorf("%s: %q: %w", f.named(name), value, err))
		}
	}
	return listed(faults)
}

// given tells whether the flag is on the command line.
func (f flagSet) given(name string) bool {
	return f.Changed(name) && !f.inherited[name]
}

// named is the flag as errors have it: where its value stands is where to mend it.
func (f flagSet) named(name string) string {
	if f.inherited[name] {
		return fmt.Sprintf("--%s (from %s)", name, f.environment[name])
	}
	return "--" + name
}

// listed is the error of several faults, one a line.
func listed(faults *multierror.Error) error {
	if faults != nil {
		faults.ErrorFormat = func(errs []error) string {
			texts := make([]string, len(errs))
			for i, err := range errs {
				texts[i] = err.Error()
			}
			return strings.Join(texts, "\n  ")
		}
	}
	return faults.ErrorOrNil()
}

// defaultConfigDirectory is the config directory where none is given.
const defaultConfigDirectory = "conf/"

// definitionFlags say which sidecars there are and which pods get them: what the webhook and
// the offline commands have in common.
type definitionFlags struct {
	flagSet
	ruleFlags
	configDirectory   string
	ignoredNamespaces []string
	onUnknown         string
	onConflict        string
}

func (d *definitionFlags) define(flags flagSet) {
	d.flagSet = flags
	d.ruleFlags.define(flags)
	flags.StringVar(&d.configDirectory, "config-directory", defaultConfigDirectory, "directory of the sidecar definitions, *.yaml and *.yml")
	flags.env("config-directory", "CONFIG_DIR")
	flags.StringSliceVar(&d.ignoredNamespaces, "ignored-namespaces", []string{"kube-system", "kube-public", "kube-node-lease"}, "namespaces whose pods are left alone")
	flags.env("ignored-namespaces", "IGNORED_NAMESPACES")
	flags.StringVar(&d.onUnknown, "on-unknown", string(mutate.Admit), "admit or deny a pod that asks for a sidecar that does not exist")
	flags.env("on-unknown", "ON_UNKNOWN")
	flags.StringVar(&d.onConflict, "on-conflict", string(mutate.Deny), "admit or deny a pod that the sidecar does not fit")
	flags.env("on-conflict", "ON_CONFLICT")
}

// policy checks the flags that make the policy.
func (d *definitionFlags) policy() (*mutate.Policy, error) {
	var faults *multierror.Error
	ignored := slices.DeleteFunc(slices.Clone(d.ignoredNamespaces), func(name string) bool { return name == "" })
	for i, name := range ignored {
		ignored[i] = strings.TrimSpace(name)
		if why := validation.IsDNS1123Label(ignored[i]); len(why) > 0 {
			faults = multierror.Append(faults, fmt.Errorf("%s: %q: %s", d.named("ignored-namespaces"), name, strings.Join(why, "; ")))
		}
	}
	onUnknown, err := mutate.ParseAction(d.onUnknown)
	if err != nil {
		faults = multierror.Append(faults, fmt.Errorf("%s: %w", d.named("on-unknown"), err))
	}
	onConflict, err := mutate.ParseAction(d.onConflict)
	if err != nil {
		faults = multierror.Append(faults, fmt.Errorf("%s: %w", d.named("on-conflict"), err))
	}
	return &mutate.Policy{
		AnnotationNamespace: d.annotationNamespace,
		IgnoredNamespaces:   ignored,
		OnUnknown:           onUnknown,
		OnConflict:          onConflict,
	}, listed(faults)
}
