package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/store"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// injectFlags are those of the inject command.
type injectFlags struct {
	definitionFlags
	file      string
	namespace string
	diff      bool
}

func newInject(process Process) *cobra.Command {
	command := &cobra.Command{
		Use:   "inject -f FILE|-",
		Short: "Inject sidecars into manifests, as the webhook would",
		Long: "Reads manifests, YAML or JSON, and prints them as YAML with the sidecars that their pods ask for.\n" +
			"Pods, Lists and everything with a pod template of apps, batch and core are looked into; all else is\n" +
			"printed as it was. What was done to each is said on standard error. If a pod would be denied, nothing\n" +
			"is printed and the exit code is 1.",
		Args: cobra.NoArgs,
	}
	var f injectFlags
	flags := newFlagSet(command.Flags())
	f.define(flags)
	flags.StringVarP(&f.file, "filename", "f", "", "file of manifests, - for standard input")
	flags.StringVarP(&f.namespace, "namespace", "n", "default", "namespace of what names none")
	flags.BoolVar(&f.diff, "diff", false, "print a unified diff instead")
	command.RunE = func(command *cobra.Command, _ []string) error {
		return f.run(command.Context(), process)
	}
	return command
}

func (f *injectFlags) run(ctx context.Context, process Process) error {
	if err := f.readEnvironment(process.Getenv); err != nil {
		return err
	}
	if f.file == "" {
		return errors.New("--filename (-f) is needed: a file of manifests, or - for standard input")
	}
	policy, err := f.policy()
	if err != nil {
		return err
	}
	snapshot, err := f.snapshot(ctx, process.Stderr)
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

// snapshot loads the sidecars once. Rejected documents are reported and passed over, as the
// daemon would.
func (f *injectFlags) snapshot(ctx context.Context, report io.Writer) (*store.Snapshot, error) {
	source, err := f.source(zerolog.Nop(), true)
	if err != nil {
		return nil, err
	}
	documents, err := source.Documents(ctx)
	if err != nil {
		return nil, err
	}
	snapshots := new(store.Store)
	snapshots.Publish(conf.Load(documents, nil))
	for rejection := range snapshots.Current().Rejections() {
		for _, fault := range rejection.Errors.Errors {
			fmt.Fprintf(report, "rejected: %v\n", fault)
		}
	}
	return snapshots.Current(), nil
}

// read gives the manifests, one document each.
func (f *injectFlags) read(stdin io.Reader) ([]conf.Document, error) {
	name, content, err := "standard input", []byte(nil), error(nil)
	if f.file == "-" {
		content, err = io.ReadAll(stdin)
	} else {
		name = f.file
		content, err = os.ReadFile(f.file)
	}
	if err != nil {
		return nil, err
	}
	documents := conf.Split(conf.Origin{Name: name}, content, nil)
	if documents[0].Err != nil {
		return nil, fmt.Errorf("%s: there are no manifests in it", name)
	}
	return documents, nil
}

// inject gives all manifests, or the diffs of those that change. Everything is looked at
// before anything is given, and all errors are reported.
func (f *injectFlags) inject(offline *offline, documents []conf.Document) ([]byte, error) {
	var output bytes.Buffer
	failed := 0
	for _, document := range documents {
		text, err := f.one(offline, document)
		if err != nil {
			failed++
			fmt.Fprintf(offline.report, "%s:%d: %v\n", document.Origin.Name, document.Line, err)
			continue
		}
		if output.Len() > 0 && !f.diff {
			output.WriteString("---\n")
		}
		output.Write(text)
	}
	if failed > 0 {
		return nil, fmt.Errorf("manifests that could not be injected: %d of %d; nothing was printed", failed, len(documents))
	}
	return output.Bytes(), nil
}

// one gives a document with its sidecars, or what changes in it. A document that nothing is
// injected into is given byte for byte.
func (f *injectFlags) one(offline *offline, document conf.Document) ([]byte, error) {
	object, err := yaml.YAMLToJSONStrict(document.Content)
	if err != nil {
		return nil, err
	}
	injected, err := offline.object(object)
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
	name := document.Origin.String()
	return diff.Diff(name, before, name+" injected", after), err
}

// verbatim is the document between its separators.
func verbatim(content []byte) []byte {
	return append(bytes.Trim(content, "\r\n"), '\n')
}
