package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hashicorp/go-multierror"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/store"
)

// manifestOptions are the options of the commands that read manifests.
type manifestOptions struct {
	injection injectionOptions
	cluster   clusterOptions // empty unless the command adds its flags
	files     []string
	// instead is what a command reads without files, for the error if there are none. It may be empty.
	instead   string
	namespace string
}

func (o *manifestOptions) AddFlags(flags *pflag.FlagSet) {
	o.injection.AddFlags(flags)
	flags.StringArrayVarP(&o.files, "filename", "f", nil,
		"`file` of manifests, - for standard input; can be repeated")
	flags.StringVarP(&o.namespace, "namespace", "n", "default", "namespace of manifests that have none")
}

// Complete validates all flags.
func (o *manifestOptions) Complete(e *flagErrors) {
	o.injection.Complete(e)
	if len(o.files) == 0 || slices.Contains(o.files, "") {
		e.addf("--filename (-f) is needed: a file of manifests, or - for standard input%s", o.instead)
	}
	if first := slices.Index(o.files, "-"); first >= 0 && slices.Contains(o.files[first+1:], "-") {
		e.addf("--filename: standard input can be read only once")
	}
	e.checkName("namespace", o.namespace, validation.IsDNS1123Label)
}

// noArgs rejects files that are not values of -f.
func noArgs(command *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("%q: name files with -f: %s -f %s", args[0], command.CommandPath(), strings.Join(args, " -f "))
}

// newInjector loads the definitions and returns an injector. It reports and skips rejected documents.
func (o *manifestOptions) newInjector(ctx context.Context, report io.Writer) (*manifestInjector, error) {
	definitions, manifests, err := o.readDefinitions(ctx, report)
	if err != nil {
		return nil, err
	}
	set, err := o.injection.rules.Load(ctx, definitions, nil)
	if err != nil {
		return nil, err
	}
	snapshots := new(store.Store)
	snapshots.Publish(set)
	injector := &manifestInjector{
		snapshot: snapshots.Current(), policy: &o.injection.policy, namespace: o.namespace, report: report,
	}
	for rejection := range injector.snapshot.Rejections() {
		for _, err := range rejection.Errors.Errors {
			if fault, ok := err.(*conf.Error); ok { //nolint:errorlint // Rejection documents it
				fmt.Fprintf(report, "rejected: %s\n", manifests.text(fault, max(1, fault.Line)))
			}
		}
	}
	if o.cluster.namespaceDefaults {
		injector.namespaces, err = o.cluster.newNamespaces(injector.policy.RequestAnnotation(), zerolog.Nop())
	}
	return injector, err
}

// readDefinitions returns the definitions that a daemon with these options would load and those of ConfigMaps in the
// config directory, with their places, or the built-in samples. A ConfigMap in the directory replaces the one of the
// cluster.
func (o *manifestOptions) readDefinitions(
	ctx context.Context, report io.Writer,
) (documents []conf.Document, manifests places, err error) {
	switch {
	case o.injection.hasDirectory:
		documents, manifests, err = o.readDirectory(ctx, report)
	case o.cluster.configMapLabels == "":
		fmt.Fprintln(report, "using the built-in samples; set --config-directory to use other definitions")
		documents, err = samples{}.Documents(ctx, nil)
	}
	if err != nil || o.cluster.configMapLabels == "" {
		return documents, manifests, err
	}
	configMaps, err := o.cluster.newConfigMaps(zerolog.Nop())
	if err != nil {
		return nil, nil, err
	}
	more, err := configMaps.Once(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("--configmap-labels: %w", err)
	}
	replaced := sets.New[string]()
	for _, document := range documents {
		if document.Origin.Kind == conf.ConfigMap {
			replaced.Insert(document.Origin.Root)
		}
	}
	more = slices.DeleteFunc(more, func(d conf.Document) bool { return replaced.Has(d.Origin.Root) })
	return append(documents, more...), manifests, nil
}

// readDirectory returns the definitions of the config directory and of the ConfigMaps among manifests in it. It reports
// other manifests, and ConfigMaps that an API server would reject.
func (o *manifestOptions) readDirectory(
	ctx context.Context, report io.Writer,
) (documents []conf.Document, manifests places, err error) {
	inputs := newInputs(false, nil)
	inputs.configMaps.selector, inputs.configMaps.namespace = o.cluster.selector, o.cluster.configMapNamespace
	if _, err := inputs.addDirectory(ctx, o.injection.directory); err != nil {
		return nil, nil, err
	}
	printSkipped(report, inputs.configMaps.skipped)
	for _, fault := range inputs.configMaps.faults {
		fmt.Fprintf(report, "rejected: %v\n", fault)
	}
	documents = append(inputs.directories[0].documents, inputs.configMaps.documents...)
	return documents, inputs.configMaps.places, nil
}

// visitManifests calls visit for each manifest of all files. It reports all errors. If there are any, it returns an
// error with the verb.
func (o *manifestOptions) visitManifests(
	streams IOStreams, verb string, visit func(*manifestFile, conf.Document) error,
) (files []*manifestFile, err error) {
	var errs []error
	for _, name := range o.files {
		file, err := readManifests(name, streams.In)
		files, errs = append(files, file), append(errs, err)
	}
	if err := aggregate(errs...); err != nil {
		return nil, err
	}
	failed, count := 0, 0
	for _, file := range files {
		for _, document := range file.documents {
			count++
			if err := visit(file, document); err != nil {
				failed++
				for _, line := range errorLines(err) {
					fmt.Fprintln(streams.ErrOut, line)
				}
			}
		}
	}
	if failed > 0 {
		return nil, fmt.Errorf("manifests that could not be %s: %d of %d; nothing was printed", verb, failed, count)
	}
	return files, nil
}

// errorLines returns a line for each error of a manifest, which begins with the name of the file.
func errorLines(err error) []string {
	return texts(multierror.Append(nil, err).Errors, func(err error) string {
		return strings.TrimPrefix(err.Error(), "file ")
	})
}
