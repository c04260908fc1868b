package cli

import (
	"context"
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
	manifests manifestOptions
	cluster   clusterOptions
	output    string
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
			return o.run(command, streams)
		},
	}
	o.AddFlags(command.Flags())
	return command
}

func (o *explainOptions) AddFlags(flags *pflag.FlagSet) {
	o.manifests.AddFlags(flags)
	o.cluster.AddFlags(flags)
	flags.StringVarP(&o.output, "output", "o", outputTable, outputTable+" or "+outputJSON)
}

// Complete validates all flags.
func (o *explainOptions) Complete(e *flagErrors) {
	o.manifests.Complete(e)
	o.cluster.Complete(e)
	if o.cluster.configMapLabels == "" && !o.cluster.namespaceDefaults {
		e.checkUnused("configmap-labels or --namespace-defaults", "kubeconfig")
	}
	if o.output != outputTable && o.output != outputJSON {
		e.add("output", fmt.Errorf("%q is neither %s nor %s", o.output, outputTable, outputJSON))
	}
}

func (o *explainOptions) run(command *cobra.Command, streams IOStreams) error {
	ctx := command.Context()
	e := readEnvironment(command.Flags(), streams.Getenv)
	o.Complete(e)
	if err := e.err(); err != nil {
		return err
	}
	x, err := o.newExplainer(ctx, streams)
	if err != nil {
		return err
	}
	manifests, err := o.manifests.readManifests(streams.In)
	if err != nil {
		return err
	}
	failed := visitManifests(manifests, streams.ErrOut, func(document conf.Document) error {
		return x.explain(ctx, document)
	})
	if failed > 0 {
		return fmt.Errorf("manifests that could not be read: %d of %d; nothing was printed", failed, len(manifests))
	}
	format := formatExplanationTable
	if o.output == outputJSON {
		format = formatExplanationJSON
	}
	text, err := format(x.explanations)
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
	x := &explainer{injector: injector, lookups: make(map[string]namespaceDefault)}
	if o.cluster.namespaceDefaults {
		x.namespaces, err = o.cluster.newNamespaces(injector.policy.RequestAnnotation(), zerolog.Nop())
	}
	return x, err
}

// readDefinitions returns the definitions that a daemon with these options would load, or the built-in samples.
func (o *explainOptions) readDefinitions(ctx context.Context, streams IOStreams) ([]conf.Document, error) {
	var documents []conf.Document
	if o.cluster.configMapLabels == "" || o.manifests.definitions.exists {
		var err error
		if documents, err = o.manifests.readDefinitions(ctx, streams.ErrOut); err != nil {
			return nil, err
		}
	}
	if o.cluster.configMapLabels == "" {
		return documents, nil
	}
	configMaps, err := o.cluster.newConfigMaps(zerolog.Nop())
	if err != nil {
		return nil, err
	}
	more, err := configMaps.Once(ctx)
	if err != nil {
		return nil, fmt.Errorf("--configmap-labels: %w", err)
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
		return fmt.Errorf("--namespace-defaults: %w", lookup.err)
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
