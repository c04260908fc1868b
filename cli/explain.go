package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/go-multierror"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/watcher"
)

// The values of --output.
const (
	outputTable = "table"
	outputJSON  = "json"
)

// explainFlags are those of the explain command.
type explainFlags struct {
	manifestFlags
	configMapFlags
	namespaceFlags
	clusterFlags
	output string
}

func newExplain(process Process) *cobra.Command {
	command := &cobra.Command{
		Use:   "explain -f FILE|-",
		Short: "Tell for manifests what would be injected, from where, and what would not and why",
		Long: "Reads manifests, as inject does, and prints for each pod the decision and every element of the sidecars\n" +
			"that was considered: where it comes from, whether it is added, and if not, why, and the fields that the\n" +
			"API server would reject because of the sidecars. A pod that is denied or skipped is no error. With --configmap-labels, the definitions in a cluster count too, and with\n" +
			"--namespace-defaults the annotations of its namespaces: the API server is asked once.",
		Args: onlyFlags,
	}
	var f explainFlags
	flags := newFlagSet(command.Flags())
	f.manifestFlags.define(flags)
	f.configMapFlags.define(flags)
	f.namespaceFlags.define(flags)
	f.clusterFlags.define(flags)
	flags.StringVarP(&f.output, "output", "o", outputTable, outputTable+" or "+outputJSON)
	command.RunE = func(command *cobra.Command, _ []string) error {
		return f.run(command.Context(), process)
	}
	return command
}

func (f *explainFlags) run(ctx context.Context, process Process) error {
	e, configMaps, err := f.check(process)
	if err != nil {
		return err
	}
	definitions, err := f.definitions(ctx, process, configMaps)
	if err != nil {
		return err
	}
	e.snapshot, err = f.snapshot(ctx, definitions, process.Stderr)
	if err != nil {
		return err
	}
	documents, err := f.read(process.Stdin)
	if err != nil {
		return err
	}
	if failed := each(documents, process.Stderr, func(document conf.Document) error { return e.one(ctx, document) }); failed > 0 {
		return fmt.Errorf("manifests that could not be read: %d of %d; nothing was printed", failed, len(documents))
	}
	text, err := e.table()
	if f.output == outputJSON {
		text, err = e.json()
	}
	if err != nil {
		return err
	}
	_, err = process.Stdout.Write(text)
	return err
}

// check reports everything that is wrong with the flags at once. The ConfigMaps are nil where they
// are turned off.
func (f *explainFlags) check(process Process) (*explainer, *watcher.ConfigMaps, error) {
	policy, faults := f.manifestFlags.check(process)
	configMaps, err := f.configMaps(&f.clusterFlags, zerolog.Nop())
	faults = multierror.Append(faults, err)
	namespaces, err := f.namespaces(&f.clusterFlags, policy, zerolog.Nop())
	faults = multierror.Append(faults, err)
	if f.clusterFlags.given("kubeconfig") && f.labels == "" && !f.defaults {
		faults = multierror.Append(faults, errors.New("--kubeconfig means nothing without --configmap-labels or --"+namespaceDefaults))
	}
	if f.output != outputTable && f.output != outputJSON {
		faults = multierror.Append(faults, fmt.Errorf("--output: %q is neither %s nor %s", f.output, outputTable, outputJSON))
	}
	return &explainer{
		offline:    &offline{policy: policy, namespace: f.manifestFlags.namespace, report: process.Stderr},
		namespaces: namespaces, lookups: make(map[string]namespaceDefault),
	}, configMaps, listed(faults)
}

// definitions are those that a daemon with these flags would serve, or the built-in samples.
func (f *explainFlags) definitions(ctx context.Context, process Process, configMaps *watcher.ConfigMaps) ([]conf.Document, error) {
	if configMaps == nil {
		return f.source(process.Stderr).Documents(ctx)
	}
	var documents []conf.Document
	if directory := f.directory(zerolog.Nop()); directory != nil {
		var err error
		if documents, err = directory.Documents(ctx); err != nil {
			return nil, err
		}
	}
	more, err := configMaps.Once(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.configMapFlags.named("configmap-labels"), err)
	}
	return append(documents, more...), nil
}

// explainer explains the decisions about the pods of manifests.
type explainer struct {
	*offline
	namespaces *watcher.Namespaces         // nil if namespaces have no defaults
	lookups    map[string]namespaceDefault // by namespace
	all        []explanation
}

// namespaceDefault is the result of looking up the default of a namespace.
type namespaceDefault struct {
	request string
	found   bool
	err     error
}

// explanation is the decision about one pod.
type explanation struct {
	kind, namespace, name string
	decision              mutate.Decision
	message               string
	faults                []fault // of the injected pod
	elements              []mutate.ElementResult
}

func (e *explainer) one(ctx context.Context, document conf.Document) error {
	object, err := document.JSON()
	if err != nil {
		return err
	}
	_, err = e.document(document, object, func(pod []byte, path string, m *manifest) ([]byte, error) {
		return nil, e.pod(ctx, pod, path, m)
	})
	return err
}

// pod explains the decision about one pod. A failed lookup of its namespace is an error, because the
// webhook may succeed.
func (e *explainer) pod(ctx context.Context, pod []byte, path string, m *manifest) error {
	request, err := e.request(pod, path, m)
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
	decision, elements := mutate.Explain(e.snapshot, e.policy, request)
	if lookup.err != nil {
		return fmt.Errorf("--%s: %w", namespaceDefaults, lookup.err)
	}
	x := explanation{
		kind: m.Kind, namespace: request.Namespace, name: m.name(),
		decision: decision, message: e.message(m, path, &decision), elements: elements,
	}
	if decision.Patch != nil {
		injected, err := apply(pod, decision.Patch)
		if err != nil {
			return err
		}
		x.faults = introducedFaults(pod, injected, path)
	}
	e.all = append(e.all, x)
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
