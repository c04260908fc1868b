package cli

import (
	"bytes"
	"context"
	"fmt"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"k8s-sidecar-injector/conf"
)

// injectFlags are those of the inject command.
type injectFlags struct {
	manifestFlags
	diff bool
}

func newInject(process Process) *cobra.Command {
	command := &cobra.Command{
		Use:   "inject -f FILE|-",
		Short: "Inject sidecars into manifests, as the webhook would",
		Long: "Reads manifests, YAML or JSON, and prints them as YAML with the sidecars that their pods ask for.\n" +
			"Pods, lists and everything with a pod template of apps, batch and core are looked into; all else is\n" +
			"printed as it was. A manifest that changes loses its comments and the order of its fields. What was\n" +
			"done to each is said on standard error. If a pod would be denied, or if the API server would reject it\n" +
			"because of its sidecars, nothing is printed and the exit code is 1. In CI, --on-unknown=deny does the\n" +
			"same for pods that request a sidecar that does not exist.",
		Args: onlyFlags,
	}
	var f injectFlags
	flags := newFlagSet(command.Flags())
	f.define(flags)
	flags.BoolVar(&f.diff, "diff", false, "print a unified diff instead")
	command.RunE = func(command *cobra.Command, _ []string) error {
		return f.run(command.Context(), process)
	}
	return command
}

func (f *injectFlags) run(ctx context.Context, process Process) error {
	policy, faults := f.check(process)
	if err := listed(faults); err != nil {
		return err
	}
	definitions, err := f.source(process.Stderr).Documents(ctx)
	if err != nil {
		return err
	}
	snapshot, err := f.snapshot(ctx, definitions, process.Stderr)
	if err != nil {
		return err
	}
	documents, err := f.read(process.Stdin)
	if err != nil {
		return err
	}
	offline := &offline{snapshot: snapshot, policy: policy, namespace: f.namespace, report: process.Stderr}
	output, err := f.inject(offline, documents)
	if err != nil {
		return err
	}
	_, err = process.Stdout.Write(output)
	return err
}

// inject gives all manifests, or the diffs of those that change. Everything is looked at
// before anything is given, and all errors are reported.
func (f *injectFlags) inject(offline *offline, documents []conf.Document) ([]byte, error) {
	var output bytes.Buffer
	failed := each(documents, offline.report, func(document conf.Document) error {
		text, err := f.one(offline, document)
		if err != nil {
			return err
		}
		if output.Len() > 0 && !f.diff {
			output.WriteString("---\n")
		}
		output.Write(text)
		return nil
	})
	if failed > 0 {
		return nil, fmt.Errorf("manifests that could not be injected: %d of %d; nothing was printed", failed, len(documents))
	}
	return output.Bytes(), nil
}

// one gives a document with its sidecars, or what changes in it. Each error has its place. A
// document that nothing is injected into is given byte for byte.
func (f *injectFlags) one(offline *offline, document conf.Document) ([]byte, error) {
	object, err := document.JSON()
	if err != nil {
		return nil, err
	}
	injected, err := offline.document(document, object, offline.inject)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(object, injected) {
		if f.diff {
			return nil, nil
		}
		return verbatim(document.Content), nil
	}
	after, err := yaml.JSONToYAML(injected)
	if err != nil || !f.diff {
		return after, err
	}
	before, err := yaml.JSONToYAML(object)
	name := document.Origin.Name
	if document.Origin.Index > 0 {
		name = fmt.Sprintf("%s document %d", name, document.Origin.Index+1)
	}
	return diff.Diff(name, before, name+" (injected)", after), err
}

// verbatim is the document between its separators.
func verbatim(content []byte) []byte {
	return append(bytes.Trim(content, "\r\n"), '\n')
}
