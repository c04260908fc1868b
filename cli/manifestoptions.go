package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/hashicorp/go-multierror"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/store"
)

// manifestOptions are the options of the commands that read manifests.
type manifestOptions struct {
	definitions definitionOptions
	policy      policyOptions
	files       []string
	namespace   string
}

func (o *manifestOptions) AddFlags(flags *pflag.FlagSet) {
	o.definitions.AddFlags(flags)
	o.policy.AddFlags(flags)
	flags.StringArrayVarP(&o.files, "filename", "f", nil,
		"`file` of manifests, - for standard input; can be repeated")
	flags.StringVarP(&o.namespace, "namespace", "n", "default", "namespace of manifests that have none")
}

// Complete validates all flags.
func (o *manifestOptions) Complete(e *flagErrors) {
	o.policy.Complete(e, o.definitions.annotationNamespace)
	o.definitions.Complete(e)
	if len(o.files) == 0 || slices.Contains(o.files, "") {
		e.addf("--filename (-f) is needed: a file of manifests, or - for standard input")
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

// readDefinitions returns the definitions of the config directory, or the built-in samples if there is none.
func (o *manifestOptions) readDefinitions(ctx context.Context, report io.Writer) ([]conf.Document, error) {
	if o.definitions.exists {
		return o.definitions.newSource(zerolog.Nop()).Documents(ctx)
	}
	fmt.Fprintln(report, "using the built-in samples; set --config-directory to use other definitions")
	return samples{}.Documents(ctx)
}

// newInjector loads the definitions and returns an injector. It reports and skips rejected documents.
func (o *manifestOptions) newInjector(
	ctx context.Context, definitions []conf.Document, report io.Writer,
) (*manifestInjector, error) {
	set, err := o.definitions.rules.Load(ctx, definitions, nil)
	if err != nil {
		return nil, err
	}
	snapshots := new(store.Store)
	snapshots.Publish(set)
	snapshot := snapshots.Current()
	for rejection := range snapshot.Rejections() {
		for _, err := range rejection.Errors.Errors {
			fmt.Fprintf(report, "rejected: %v\n", err)
		}
	}
	return &manifestInjector{snapshot: snapshot, policy: o.policy.completed, namespace: o.namespace, report: report}, nil
}

// readManifests returns the manifests of all files, one per document.
func (o *manifestOptions) readManifests(stdin io.Reader) (documents []conf.Document, err error) {
	var errs []error
	for _, file := range o.files {
		more, err := readManifests(file, stdin)
		documents = append(documents, more...)
		errs = append(errs, err)
	}
	return documents, aggregate(errs...)
}

func readManifests(file string, stdin io.Reader) ([]conf.Document, error) {
	name, read := file, func() ([]byte, error) { return os.ReadFile(file) }
	if file == "-" {
		name, read = "standard input", func() ([]byte, error) { return io.ReadAll(stdin) }
	}
	content, err := read()
	if err != nil {
		return nil, err
	}
	documents := conf.SplitManifests(conf.Origin{Name: name}, content)
	if documents[0].Err != nil {
		return nil, fmt.Errorf("%s: no manifests", name)
	}
	return documents, nil
}

// visitManifests calls visit for each manifest. It reports all errors and returns the number of manifests that failed.
func visitManifests(documents []conf.Document, report io.Writer, visit func(conf.Document) error) (failed int) {
	for _, document := range documents {
		if err := visit(document); err != nil {
			failed++
			for _, err := range multierror.Append(nil, err).Errors {
				fmt.Fprintln(report, strings.TrimPrefix(err.Error(), "file "))
			}
		}
	}
	return failed
}
