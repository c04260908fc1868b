package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
)

// The values of --output.
const (
	outputTable = "table"
	outputWide  = "wide"
	outputJSON  = "json"
)

// explainOptions are the options of the explain command.
type explainOptions struct {
	manifests  manifestOptions
	inspection inspectionOptions // for objects of a cluster
	output     string

	objects []objectName // set by Complete; nil to read manifests
}

func newExplain(streams IOStreams) *cobra.Command {
	o := new(explainOptions)
	command := &cobra.Command{
		Use:   "explain -f FILE|- | TYPE/NAME...",
		Short: "Explain which elements of which sidecars would be injected, and why",
		Long: "Reads manifests, as inject does, and prints for each pod the decision, the fields that the API server\n" +
			"would reject because of the sidecars, the values of parameters and where they come from, and every element of\n" +
			"the sidecars: its origin, whether it is added, and if not, why. A pod that is denied or skipped is not an\n" +
			"error. With --configmap-labels, definitions in the cluster are loaded as well, and with --namespace-defaults,\n" +
			"the annotations of its namespaces apply. Both are read once.\n\n" +
			"With TYPE/NAME, it reads an object of the cluster, such as deploy/web, and finds the injector there: its flags\n" +
			"decide which definitions are read, unless flags of this command override them.",
		Example: `  k8s-sidecar-injector explain -f deployment.yaml
  k8s-sidecar-injector explain deploy/web -n shop
  k8s-sidecar-injector explain -f deployment.yaml -o json

  # With the definitions of a cluster
  k8s-sidecar-injector explain -f deployment.yaml --kubeconfig ~/.kube/config \
    --configmap-labels app=k8s-sidecar-injector --configmap-namespace sidecar-injector`,
		RunE: func(command *cobra.Command, args []string) error { return o.run(command, streams, args) },
	}
	o.manifests.AddFlags(command.Flags())
	o.manifests.cluster.AddFlags(command.Flags())
	o.AddObjectFlags(command.Flags())
	o.addCompletion(command, streams)
	addOutput(command.Flags(), &o.output,
		outputTable+", "+outputWide+" (a line for each container), "+outputJSON+" or "+outputYAML,
		outputTable, outputWide, outputJSON, outputYAML)
	return command
}

// Complete validates all flags and arguments. The path is that of the command.
func (o *explainOptions) Complete(e *flagErrors, path string, args []string) {
	checkOutput(e)
	if len(args) > 0 {
		o.completeObjects(e, path, args)
		return
	}
	for _, name := range []string{"context", "injector"} {
		if e.onCommandLine(name) {
			e.addf("--%s has no effect without TYPE/NAME", name)
		}
	}
	o.manifests.instead = "; or TYPE/NAME, such as deployment/web"
	o.manifests.Complete(e)
	cluster := &o.manifests.cluster
	cluster.Complete(e)
	if cluster.configMapLabels == "" && !cluster.namespaceDefaults {
		e.checkUnused("configmap-labels or --namespace-defaults", "kubeconfig")
	}
}

func (o *explainOptions) run(command *cobra.Command, streams IOStreams, args []string) error {
	e := readEnvironment(command.Flags(), streams.Getenv)
	o.Complete(e, command.CommandPath(), args)
	if err := e.err(); err != nil {
		return err
	}
	explain := o.explainManifests
	if o.objects != nil {
		explain = o.explainObjects
	}
	results, err := explain(command.Context(), e, streams)
	if err != nil {
		return err
	}
	if o.output == outputJSON || o.output == outputYAML {
		return printValue(streams.Out, o.output, newExplanations(results))
	}
	var text bytes.Buffer
	printTables(&text, results, o.output == outputWide)
	_, err = streams.Out.Write(text.Bytes())
	return err
}

func (o *explainOptions) explainManifests(
	ctx context.Context, _ *flagErrors, streams IOStreams,
) (results []*podResult, err error) {
	injector, err := o.manifests.newInjector(ctx, streams.ErrOut)
	if err != nil {
		return nil, err
	}
	_, err = o.manifests.visitManifests(streams, "read", func(_ *manifestFile, document conf.Document) error {
		explained, err := injector.explain(ctx, document)
		results = append(results, explained...)
		return err
	})
	return results, err
}

// explain returns the result for each pod of a document.
func (i *manifestInjector) explain(ctx context.Context, document conf.Document) (results []*podResult, err error) {
	_, err = i.visit(ctx, document, func(r *podResult) error {
		results = append(results, r)
		return nil
	})
	return results, err
}

// printTables prints a heading, the notes and the tables of each pod.
func printTables(w io.Writer, results []*podResult, wide bool) {
	for i, r := range results {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s: %s\n", r.podName(), r)
		for _, note := range r.notes() {
			fmt.Fprintln(w, note)
		}
		for _, t := range r.tables(wide) {
			t.print(w)
		}
	}
}

// explanation is the decision for one pod, in the JSON format of docs/explain.md. No field is omitted.
type explanation struct {
	Kind      string             `json:"kind"`
	Namespace string             `json:"namespace"`
	Name      string             `json:"name"`
	Outcome   mutate.Outcome     `json:"outcome"`
	Reason    mutate.Reason      `json:"reason"`
	Message   string             `json:"message"`
	Warnings  []string           `json:"warnings"`
	Sidecars  []explainedSidecar `json:"sidecars"`
	Faults    []fault            `json:"faults"`
	// Parameters are those of the requested sidecars, up to the first sidecar that has an invalid value.
	Parameters []explainedParameter `json:"parameters"`
	Elements   []explainedElement   `json:"elements"`
}

type explainedSidecar struct {
	Ref    string `json:"ref"`
	Digest string `json:"digest"`
	Origin string `json:"origin"`
}

type explainedParameter struct {
	Sidecar string `json:"sidecar"`
	Name    string `json:"name"`
	Value   string `json:"value"`
	Source  string `json:"source"`
}

type explainedElement struct {
	Field     string `json:"field"`
	Name      string `json:"name"`
	List      string `json:"list"`
	Container string `json:"container"`
	Sidecar   string `json:"sidecar"`
	Origin    string `json:"origin"`
	Added     bool   `json:"added"`
	Why       string `json:"why"`
}

func newExplanation(r *podResult) explanation {
	x := explanation{
		Kind: r.Kind, Namespace: r.namespace, Name: r.name(),
		Outcome: r.decision.Outcome, Reason: r.decision.Reason, Message: r.message,
		Warnings: append([]string{}, r.decision.Warnings...),
		Sidecars: []explainedSidecar{}, Faults: append([]fault{}, r.faults...), Elements: []explainedElement{},
		Parameters: []explainedParameter{},
	}
	for _, v := range r.decision.Parameters {
		x.Parameters = append(x.Parameters, explainedParameter{v.Sidecar.Ref.String(), v.Name, v.Value, v.Source})
	}
	for _, s := range r.decision.Sidecars {
		x.Sidecars = append(x.Sidecars, explainedSidecar{s.Ref.String(), s.Digest, s.Origin.String()})
	}
	for i := range r.elements {
		e := &r.elements[i]
		x.Elements = append(x.Elements, explainedElement{
			Field: e.Field, Name: e.Name, List: e.List, Container: e.Container,
			Sidecar: e.Sidecar.Ref.String(), Origin: e.Sidecar.Origin.String(), Added: e.Added, Why: e.Why,
		})
	}
	return x
}

// newExplanations returns an object with the explanations of all pods.
func newExplanations(results []*podResult) map[string]any {
	items := make([]explanation, len(results))
	for i, r := range results {
		items[i] = newExplanation(r)
	}
	return map[string]any{"items": items}
}

// printJSON escapes characters that are not printable, such as terminal escape sequences. Only strings contain them.
func printJSON(w io.Writer, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	safe := make([]byte, 0, len(text)+1)
	for _, r := range string(text) {
		if r == '\n' || unicode.IsPrint(r) {
			safe = utf8.AppendRune(safe, r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			safe = fmt.Appendf(safe, `\u%04x`, unit)
		}
	}
	_, err = w.Write(append(safe, '\n'))
	return err
}
