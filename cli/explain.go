package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/watcher"
)

// The values of --output.
const (
	outputTable = "table"
	outputJSON  = "json"
)

// explainOptions are the options of the explain command.
type explainOptions struct {
	flags      *pflag.FlagSet
	manifests  manifestOptions
	configMaps configMapOptions
	namespaces namespaceOptions
	cluster    clusterOptions
	output     string
}

func newExplain(streams IOStreams) *cobra.Command {
	o := new(explainOptions)
	command := &cobra.Command{
		Use:   "explain -f FILE|-",
		Short: "Explain which elements of which sidecars would be injected into manifests, and why",
		Long: "Reads manifests, as inject does, and prints for each pod the decision, the fields that the API server\n" +
			"would reject because of the sidecars, and every element of the sidecars: its origin, whether it is added,\n" +
			"and if not, why. A pod that is denied or skipped is not an error. With --configmap-labels, definitions in\n" +
			"the cluster are loaded as well, and with --namespace-defaults, the annotations of its namespaces apply.\n" +
			"Both are read once.",
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return o.run(command.Context(), streams)
		},
	}
	o.AddFlags(command.Flags())
	return command
}

func (o *explainOptions) AddFlags(flags *pflag.FlagSet) {
	o.flags = flags
	o.manifests.AddFlags(flags)
	o.configMaps.AddFlags(flags)
	o.namespaces.AddFlags(flags)
	o.cluster.AddFlags(flags)
	flags.StringVarP(&o.output, "output", "o", outputTable, outputTable+" or "+outputJSON)
}

func (o *explainOptions) Validate() error {
	errs := []error{o.manifests.Validate(), o.configMaps.Validate(), o.cluster.Validate(map[string]bool{
		"configmap-labels": o.configMaps.enabled(),
		namespaceDefaults:  o.namespaces.enabled,
	})}
	if setOnCommandLine(o.flags, "kubeconfig") && !o.configMaps.enabled() && !o.namespaces.enabled {
		errs = append(errs, errors.New("--kubeconfig has no effect without --configmap-labels or --"+namespaceDefaults))
	}
	if o.output != outputTable && o.output != outputJSON {
		errs = append(errs, flagError(o.flags, "output", "%q is neither %s nor %s", o.output, outputTable, outputJSON))
	}
	return aggregate(errs...)
}

func (o *explainOptions) run(ctx context.Context, streams IOStreams) error {
	err := readEnvironment(o.flags, streams.Getenv)
	if err := aggregate(err, o.Validate()); err != nil {
		return err
	}
	e, err := o.newExplainer(ctx, streams)
	if err != nil {
		return err
	}
	manifests, err := o.manifests.readManifests(streams.In)
	if err != nil {
		return err
	}
	failed := visitManifests(manifests, streams.ErrOut, func(document conf.Document) error {
		return e.explain(ctx, document)
	})
	if failed > 0 {
		return fmt.Errorf("manifests that could not be read: %d of %d; nothing was printed", failed, len(manifests))
	}
	format := formatExplanationTable
	if o.output == outputJSON {
		format = formatExplanationJSON
	}
	text, err := format(e.explanations)
	if err != nil {
		return err
	}
	_, err = streams.Out.Write(text)
	return err
}

func (o *explainOptions) newExplainer(ctx context.Context, streams IOStreams) (*explainer, error) {
	definitions, err := o.readDefinitions(ctx, streams)
	if err != nil {
		return nil, err
	}
	injector, err := o.manifests.newInjector(ctx, definitions, streams.ErrOut)
	if err != nil {
		return nil, err
	}
	namespaces, err := o.namespaces.newNamespaces(&o.cluster, injector.policy.RequestAnnotation(), zerolog.Nop())
	if err != nil {
		return nil, err
	}
	return &explainer{injector: injector, namespaces: namespaces, lookups: make(map[string]namespaceDefault)}, nil
}

// readDefinitions returns the definitions that a daemon with these options would load, or the built-in samples.
func (o *explainOptions) readDefinitions(ctx context.Context, streams IOStreams) ([]conf.Document, error) {
	configMaps, err := o.configMaps.newSource(&o.cluster, zerolog.Nop())
	if err != nil {
		return nil, err
	}
	if configMaps == nil {
		return o.manifests.readDefinitions(ctx, streams.ErrOut)
	}
	var documents []conf.Document
	if o.manifests.definitions.exists() {
		if documents, err = o.manifests.readDefinitions(ctx, streams.ErrOut); err != nil {
			return nil, err
		}
	}
	more, err := configMaps.Once(ctx)
	if err != nil {
		return nil, flagError(o.flags, "configmap-labels", "%w", err)
	}
	return append(documents, more...), nil
}

// explainer explains the decisions for the pods of manifests.
type explainer struct {
	injector     *manifestInjector
	namespaces   *watcher.Namespaces         // nil if disabled
	lookups      map[string]namespaceDefault // by namespace
	explanations []explanation
}

// namespaceDefault is the result of looking up the default request of a namespace.
type namespaceDefault struct {
	request string
	found   bool
	err     error
}

// explain appends the explanations for the pods of a manifest.
func (e *explainer) explain(ctx context.Context, document conf.Document) error {
	object, err := document.JSON()
	if err != nil {
		return err
	}
	_, err = e.injector.visit(document, object, func(pod []byte, path string, m *manifest) ([]byte, error) {
		return nil, e.explainPod(ctx, pod, path, m)
	})
	return err
}

// explainPod appends the explanation for a pod. A failed lookup of its namespace is an error, because the webhook may
// succeed.
func (e *explainer) explainPod(ctx context.Context, pod []byte, path string, m *manifest) error {
	request, err := e.injector.newRequest(pod, path, m)
	if err != nil {
		return err
	}
	var lookup namespaceDefault
	if e.namespaces != nil {
		request.NamespaceDefault = func() (string, bool, error) {
			lookup = e.lookUp(ctx, request.Namespace)
			return lookup.request, lookup.found, lookup.err
		}
	}
	decision, elements := mutate.Explain(e.injector.snapshot, e.injector.policy, request)
	if lookup.err != nil {
		return fmt.Errorf("--%s: %w", namespaceDefaults, lookup.err)
	}
	x := newExplanation(&decision, elements)
	x.Kind, x.Namespace, x.Name = m.Kind, request.Namespace, m.name()
	x.Message = e.injector.message(m, path, &decision)
	if decision.Patch != nil {
		injected, err := applyPatch(pod, decision.Patch)
		if err != nil {
			return err
		}
		x.Faults = append(x.Faults, introducedFaults(pod, injected, path)...)
	}
	e.explanations = append(e.explanations, x)
	return nil
}

// lookUp looks up the default of each namespace once.
func (e *explainer) lookUp(ctx context.Context, namespace string) namespaceDefault {
	known, ok := e.lookups[namespace]
	if !ok {
		known.request, known.found, known.err = e.namespaces.Default(ctx, namespace)
		e.lookups[namespace] = known
	}
	return known
}
