package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/watcher"
)

// defaultConfigDirectory is the default of --config-directory.
const defaultConfigDirectory = "conf/"

// definitionOptions select the config directory and restrict what definitions may contain.
type definitionOptions struct {
	directory           string
	privilegedSources   []string
	annotationNamespace string

	// These are set by Complete.
	exists bool // whether there is a config directory
	rules  conf.Rules
}

func (o *definitionOptions) AddFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.directory, "config-directory", defaultConfigDirectory,
		"directory of the sidecar definitions, *.yaml and *.yml [$CONFIG_DIR]")
	o.AddRuleFlags(flags)
}

// AddRuleFlags adds the flags that restrict what definitions may contain.
func (o *definitionOptions) AddRuleFlags(flags *pflag.FlagSet) {
	flags.StringSliceVar(&o.privilegedSources, "privileged-sources", []string{"files"},
		"sources whose definitions may need the Pod Security level privileged: files, configmaps; may be empty "+
			"[$SIDECAR_INJECTOR_PRIVILEGED_SOURCES]")
	flags.StringVar(&o.annotationNamespace, "annotation-namespace", "injector.tumblr.com",
		"prefix of the annotations request, status and injected [$ANNOTATION_NAMESPACE]")
}

// Complete validates all flags. A config directory that is set explicitly may appear later.
func (o *definitionOptions) Complete(e *flagErrors) {
	_, err := os.Stat(o.directory)
	o.exists = e.flags.Changed("config-directory") || !errors.Is(err, fs.ErrNotExist)
	o.CompleteRules(e)
}

// CompleteRules validates the flags of AddRuleFlags.
func (o *definitionOptions) CompleteRules(e *flagErrors) {
	var kinds []conf.Kind
	for _, name := range o.privilegedSources {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		kind, err := conf.ParseKind(name)
		e.add("privileged-sources", err)
		kinds = append(kinds, kind)
	}
	e.checkName("annotation-namespace", o.annotationNamespace, validation.IsDNS1123Subdomain)
	o.rules = conf.Consent(kinds...)
	o.rules.AnnotationNamespace = o.annotationNamespace
}

func (o *definitionOptions) newSource(log zerolog.Logger) watcher.Source {
	return watcher.NewDirectory(o.directory, log)
}

// samplesPlace is the place in the origin of the built-in samples.
const samplesPlace = "built-in samples"

// samples is the source of the built-in samples, which never change.
type samples struct{}

func (samples) String() string { return samplesPlace }

func (samples) Documents(context.Context) ([]conf.Document, error) {
	return conf.Documents(conf.Samples(), samplesPlace)
}

func (samples) Run(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return nil
}
