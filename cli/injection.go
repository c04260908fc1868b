package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
)

// defaultConfigDirectory is the default of --config-directory.
const defaultConfigDirectory = "conf/"

// defaultAnnotations is the default of --annotation-namespace.
const defaultAnnotations = "injector.tumblr.com"

// injectionOptions select the config directory and the pods that are injected, and restrict definitions.
type injectionOptions struct {
	directory         string
	privilegedSources []string
	onUnknown         string
	onConflict        string

	// These are complete after Complete.
	hasDirectory bool // whether there is a config directory
	rules        conf.Rules
	policy       mutate.Policy
}

func (o *injectionOptions) AddFlags(flags *pflag.FlagSet) {
	addGroup(flags, groupDefinitions, func(flags *pflag.FlagSet) {
		flags.StringVar(&o.directory, "config-directory", defaultConfigDirectory,
			"directory of the sidecar definitions, *.yaml and *.yml [$CONFIG_DIR]")
	})
	o.AddRuleFlags(flags)
	addGroup(flags, groupInjection, func(flags *pflag.FlagSet) {
		flags.StringSliceVar(&o.policy.IgnoredNamespaces, "ignored-namespaces",
			[]string{"kube-system", "kube-public", "kube-node-lease"},
			"namespaces whose pods are never injected [$IGNORED_NAMESPACES]")
		flags.StringVar(&o.onUnknown, "on-unknown", string(mutate.Admit),
			"admit or deny a pod that requests a sidecar that does not exist [$ON_UNKNOWN]")
		flags.StringVar(&o.onConflict, "on-conflict", string(mutate.Deny),
			"admit or deny a pod that conflicts with the sidecar [$ON_CONFLICT]")
	})
}

// AddRuleFlags adds the flags that restrict what definitions may contain.
func (o *injectionOptions) AddRuleFlags(flags *pflag.FlagSet) {
	addGroup(flags, groupDefinitions, func(flags *pflag.FlagSet) {
		flags.StringSliceVar(&o.privilegedSources, "privileged-sources", []string{"files"},
			"sources whose definitions may need the Pod Security level privileged: files, configmaps; may be empty "+
				"[$SIDECAR_INJECTOR_PRIVILEGED_SOURCES]")
		flags.StringVar(&o.policy.AnnotationNamespace, "annotation-namespace", defaultAnnotations,
			"prefix of the annotations request, status and injected [$ANNOTATION_NAMESPACE]")
	})
}

// Complete validates all flags. A config directory that is set explicitly may appear later.
func (o *injectionOptions) Complete(e *flagErrors) {
	_, err := os.Stat(o.directory)
	o.hasDirectory = e.flags.Changed("config-directory") || !errors.Is(err, fs.ErrNotExist)
	o.policy.IgnoredNamespaces = nonEmpty(o.policy.IgnoredNamespaces)
	for _, name := range o.policy.IgnoredNamespaces {
		e.checkName("ignored-namespaces", name, validation.IsDNS1123Label)
	}
	o.policy.OnUnknown, err = mutate.ParseAction(o.onUnknown)
	e.add("on-unknown", err)
	o.policy.OnConflict, err = mutate.ParseAction(o.onConflict)
	e.add("on-conflict", err)
	o.CompleteRules(e)
}

// CompleteRules validates the flags of AddRuleFlags.
func (o *injectionOptions) CompleteRules(e *flagErrors) {
	var kinds []conf.Kind
	for _, name := range nonEmpty(o.privilegedSources) {
		kind, err := conf.ParseKind(name)
		e.add("privileged-sources", err)
		kinds = append(kinds, kind)
	}
	e.checkName("annotation-namespace", o.policy.AnnotationNamespace, validation.IsDNS1123Subdomain)
	o.rules = conf.Consent(kinds...)
	o.rules.AnnotationNamespace = o.policy.AnnotationNamespace
}

// nonEmpty returns the names of a list without spaces. A list may be empty or end with a comma.
func nonEmpty(names []string) []string {
	names = texts(names, strings.TrimSpace)
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// samplesPlace is the place in the origin of the built-in samples.
const samplesPlace = "built-in samples"

// samples is the source of the built-in samples, which never change.
type samples struct{}

func (samples) String() string { return samplesPlace }

func (samples) Documents(context.Context, *conf.Set) ([]conf.Document, error) {
	return conf.Documents(conf.Samples(), samplesPlace)
}

func (samples) Run(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return nil
}
