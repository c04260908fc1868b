package cli

import (
	"bytes"
	"fmt"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"k8s-sidecar-injector/conf"
)

// injectOptions are the options of the inject command.
type injectOptions struct {
	manifests manifestOptions
	diff      bool
}

func newInject(streams IOStreams) *cobra.Command {
	o := new(injectOptions)
	command := &cobra.Command{
		Use:   "inject -f FILE|-",
		Short: "Inject sidecars into manifests, as the webhook would",
		Long: "Reads manifests, YAML or JSON, and prints them as YAML with the sidecars that their pods request.\n" +
			"Pods, lists and all kinds with a pod template in apps, batch and core are injected; others are printed\n" +
			"unchanged. A manifest that changes loses its comments and the order of its fields. Standard error shows\n" +
			"the result for each object. If a pod would be denied, or if the API server would reject it because of\n" +
			"its sidecars, nothing is printed and the exit code is 1. In CI, --on-unknown=deny does the same for pods\n" +
			"that request a sidecar that does not exist.",
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return o.run(command, streams)
		},
	}
	o.AddFlags(command.Flags())
	return command
}

func (o *injectOptions) AddFlags(flags *pflag.FlagSet) {
	o.manifests.AddFlags(flags)
	flags.BoolVar(&o.diff, "diff", false, "print a unified diff instead")
}

func (o *injectOptions) run(command *cobra.Command, streams IOStreams) error {
	ctx := command.Context()
	e := readEnvironment(command.Flags(), streams.Getenv)
	o.manifests.Complete(e)
	if err := e.err(); err != nil {
		return err
	}
	definitions, err := o.manifests.readDefinitions(ctx, streams.ErrOut)
	if err != nil {
		return err
	}
	injector, err := o.manifests.newInjector(ctx, definitions, streams.ErrOut)
	if err != nil {
		return err
	}
	manifests, err := o.manifests.readManifests(streams.In)
	if err != nil {
		return err
	}
	output, err := o.injectAll(injector, manifests)
	if err != nil {
		return err
	}
	_, err = streams.Out.Write(output)
	return err
}

// injectAll returns all manifests, or the diffs of those that change. It reports all errors.
func (o *injectOptions) injectAll(injector *manifestInjector, manifests []conf.Document) ([]byte, error) {
	var output bytes.Buffer
	failed := visitManifests(manifests, injector.report, func(document conf.Document) error {
		text, err := o.inject(injector, document)
		if err != nil {
			return err
		}
		if output.Len() > 0 && !o.diff {
			output.WriteString("---\n")
		}
		output.Write(text)
		return nil
	})
	if failed > 0 {
		return nil, fmt.Errorf("manifests that could not be injected: %d of %d; nothing was printed",
			failed, len(manifests))
	}
	return output.Bytes(), nil
}

// inject returns a manifest with its sidecars, or its diff. An unchanged manifest is returned byte for byte.
func (o *injectOptions) inject(injector *manifestInjector, document conf.Document) ([]byte, error) {
	object, err := document.JSON()
	if err != nil {
		return nil, err
	}
	injected, err := injector.visit(document, object, injector.inject)
	switch {
	case err != nil:
		return nil, err
	case !bytes.Equal(object, injected):
		return o.format(document, object, injected)
	case o.diff:
		return nil, nil
	}
	return append(bytes.Trim(document.Content, "\r\n"), '\n'), nil
}

// format returns the injected object, or the diff, as YAML.
func (o *injectOptions) format(document conf.Document, object, injected []byte) ([]byte, error) {
	after, err := yaml.JSONToYAML(injected)
	if err != nil || !o.diff {
		return after, err
	}
	before, err := yaml.JSONToYAML(object)
	name := document.Origin.Name
	if document.Origin.Index > 0 {
		name = fmt.Sprintf("%s document %d", name, document.Origin.Index+1)
	}
	return diff.Diff(name, before, name+" (injected)", after), err
}
