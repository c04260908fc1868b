package cli

import (
	"errors"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"k8s-sidecar-injector/conf"
)

// validateOptions are the options of the validate command.
type validateOptions struct {
	injection injectionOptions // only the rules
	source    string
	strict    bool
	recursive bool
	output    string
	labels    string
}

// outputText and outputSARIF are the values of --output besides outputJSON.
const (
	outputText  = "text"
	outputSARIF = "sarif"
)

func newValidate(streams IOStreams) *cobra.Command {
	o := new(validateOptions)
	command := &cobra.Command{
		Use:   "validate PATH...|-",
		Short: "Validate sidecar definitions and print all errors",
		Long: "Validates definitions as the daemon loads them. A PATH is a config directory, a file in one, a file or\n" +
			"directory of manifests, or - for standard input. A file of definitions is loaded together with its directory,\n" +
			"so that the definitions that it inherits from are found, but only errors of the file and of bases in\n" +
			"subdirectories are printed. An object with kind and apiVersion is a manifest: the keys of a ConfigMap are\n" +
			"validated together with the definitions of each directory, and other objects are skipped. After an error, the\n" +
			"exit code is 1. Warnings are printed too, and count as errors with --strict. With --source=configmaps, each\n" +
			"directory of definitions is validated as a ConfigMap with its files as keys.",
		Example: `  k8s-sidecar-injector validate conf/
  k8s-sidecar-injector validate conf/logger.yaml

  # Files that will be the keys of a ConfigMap
  k8s-sidecar-injector validate --source=configmaps sidecars/

  # The ConfigMaps among manifests
  kustomize build . | k8s-sidecar-injector validate -
  k8s-sidecar-injector validate -R manifests/ --configmap-labels=app=k8s-sidecar-injector

  # For GitHub code scanning
  k8s-sidecar-injector validate conf/ -o sarif > sidecars.sarif`,
		Args: func(_ *cobra.Command, paths []string) error {
			if len(paths) == 0 {
				return errors.New("no PATH; want a config directory or a file in one, manifests, or - for standard input")
			}
			return nil
		},
		RunE: func(command *cobra.Command, paths []string) error { return o.run(command, streams, paths) },
	}
	o.injection.AddRuleFlags(command.Flags())
	command.Flags().StringVar(&o.source, "source", "files",
		"source that will contain the definitions: files or configmaps")
	command.Flags().BoolVar(&o.strict, "strict", false, "exit with 1 after a warning as well")
	command.Flags().BoolVarP(&o.recursive, "recursive", "R", false,
		"also validate each directory below a directory, except hidden ones")
	addOutput(command.Flags(), &o.output, outputText+", "+outputJSON+", or "+outputSARIF+" (for code scanning)",
		outputText, outputJSON, outputSARIF)
	command.Flags().StringVar(&o.labels, "configmap-labels", "",
		"label selector of the ConfigMaps among manifests; others are skipped; if empty, all are validated "+
			"[$CONFIGMAP_LABELS]")
	return command
}

func (o *validateOptions) run(command *cobra.Command, streams IOStreams, paths []string) error {
	e := readEnvironment(command.Flags(), streams.Getenv)
	inputs := o.complete(e, streams.In, paths)
	if err := e.err(); err != nil {
		return err
	}
	for _, path := range paths {
		if err := inputs.add(command.Context(), path); err != nil {
			return err
		}
	}
	r := newValidateReport(inputs)
	for _, d := range inputs.loads() {
		set, err := o.injection.rules.Load(command.Context(), d.documents, nil)
		if err != nil {
			return err
		}
		r.add(d, set)
	}
	result := r.err(o.strict)
	if err := r.print(streams, o.output, result == nil); err != nil {
		return err
	}
	return result
}

// complete validates all flags, and returns inputs without documents.
func (o *validateOptions) complete(e *flagErrors, stdin io.Reader, paths []string) *validateInputs {
	o.injection.CompleteRules(e)
	kind, err := conf.ParseKind(o.source)
	e.add("source", err)
	checkOutput(e)
	if first := slices.Index(paths, "-"); first >= 0 && slices.Contains(paths[first+1:], "-") {
		e.addf("standard input can be read only once")
	}
	inputs := newInputs(o.recursive, stdin)
	inputs.kind = kind
	if o.labels != "" {
		inputs.configMaps.selector = parseConfigMapLabels(e, o.labels)
	}
	return inputs
}

// rejections returns the rejections of the reported documents. If there are any, it also returns those of bases that
// are not served: such a document is only loaded if another inherits from it, so its errors explain the other's.
func (d *configDirectory) rejections(set *conf.Set) []conf.Rejection {
	bases := make(map[conf.Origin]bool)
	for _, document := range d.documents {
		bases[document.Origin] = document.BaseOnly
	}
	var rejections []conf.Rejection
	explained := false
	for _, r := range set.Rejections {
		if d.reported[r.Origin] || bases[r.Origin] {
			rejections = append(rejections, r)
		}
		explained = explained || d.reported[r.Origin]
	}
	if !explained {
		return nil
	}
	return rejections
}
