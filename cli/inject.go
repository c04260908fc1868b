package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/hashicorp/go-multierror"
	"github.com/rogpeppe/go-internal/diff"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/store"
)

// injectFlags are those of the inject command.
type injectFlags struct {
	definitionFlags
	files     []string
	namespace string
	diff      bool
}

func newInject(process Process) *cobra.Command {
	command := &cobra.Command{
		Use:   "inject -f FILE|-",
		Short: "Inject sidecars into manifests, as the webhook would",
		Long: "Reads manifests, YAML or JSON, and prints them as YAML with the sidecars that their pods ask for.\n" +
			"Pods, lists and everything with a pod template of apps, batch and core are looked into; all else is\n" +
			"printed as it was. A manifest that changes loses its comments and the order of its fields. What was\n" +
			"done to each is said on standard error. If a pod would be denied, nothing is printed and the exit\n" +
			"code is 1: --on-unknown=deny makes that so, in CI, for pods that ask for a sidecar that does not exist.",
		Args: func(command *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return fmt.Errorf("%q: name files with -f: %s -f %s", args[0], command.CommandPath(), strings.Join(args, " -f "))
		},
	}
	var f injectFlags
	flags := newFlagSet(command.Flags())
	f.define(flags)
	flags.StringArrayVarP(&f.files, "filename", "f", nil, "`file` of manifests, - for standard input; may be given several times")
	flags.StringVarP(&f.namespace, "namespace", "n", "default", "namespace of what names none")
	flags.BoolVar(&f.diff, "diff", false, "print a unified diff instead")
	command.RunE = func(command *cobra.Command, _ []string) error {
		return f.run(command.Context(), process)
	}
	return command
}

func (f *injectFlags) run(ctx context.Context, process Process) error {
	policy, rules, err := f.check(process)
	if err != nil {
		return err
	}
	snapshot, err := f.snapshot(ctx, rules, process.Stderr)
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

// check reads the environment and reports everything that is wrong with the flags at once.
func (f *injectFlags) check(process Process) (*mutate.Policy, conf.Rules, error) {
	faults := multierror.Append(nil, f.readEnvironment(process.Getenv))
	policy, err := f.policy()
	faults = multierror.Append(faults, err)
	rules, err := f.rules()
	faults = multierror.Append(faults, err)
	if len(f.files) == 0 || slices.Contains(f.files, "") {
		faults = multierror.Append(faults, errors.New("--filename (-f) is needed: a file of manifests, or - for standard input"))
	}
	if first := slices.Index(f.files, "-"); first >= 0 && slices.Contains(f.files[first+1:], "-") {
		faults = multierror.Append(faults, errors.New("--filename: standard input can be read only once: give - only once"))
	}
	if why := validation.IsDNS1123Label(f.namespace); len(why) > 0 {
		faults = multierror.Append(faults, fmt.Errorf("--namespace: %q: %s", f.namespace, strings.Join(why, "; ")))
	}
	return policy, rules, listed(faults)
}

// snapshot loads the sidecars once. Rejected documents are reported and passed over, as the
// daemon would.
func (f *injectFlags) snapshot(ctx context.Context, rules conf.Rules, report io.Writer) (*store.Snapshot, error) {
	source := f.directory(zerolog.Nop())
	if source == nil {
		source = samples{}
		fmt.Fprintln(report, "using the built-in samples: give --config-directory to use your own")
	}
	documents, err := source.Documents(ctx)
	if err != nil {
		return nil, err
	}
	snapshots := new(store.Store)
	snapshots.Publish(rules.Load(documents, nil))
	for rejection := range snapshots.Current().Rejections() {
		for _, fault := range rejection.Errors.Errors {
			fmt.Fprintf(report, "rejected: %v\n", fault)
		}
	}
	return snapshots.Current(), nil
}

// read gives the manifests of all files, one document each.
func (f *injectFlags) read(stdin io.Reader) ([]conf.Document, error) {
	var all []conf.Document
	var faults *multierror.Error
	for _, file := range f.files {
		documents, err := manifests(file, stdin)
		all = append(all, documents...)
		faults = multierror.Append(faults, err)
	}
	return all, listed(faults)
}

func manifests(file string, stdin io.Reader) ([]conf.Document, error) {
	name, content, err := "standard input", []byte(nil), error(nil)
	if file == "-" {
		content, err = io.ReadAll(stdin)
	} else {
		name = file
		content, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, err
	}
	documents := conf.SplitManifests(conf.Origin{Name: name}, content)
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
			for _, fault := range multierror.Append(nil, err).Errors {
				fmt.Fprintln(offline.report, strings.TrimPrefix(fault.Error(), "file "))
			}
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

// one gives a document with its sidecars, or what changes in it. Each error has its place. A
// document that nothing is injected into is given byte for byte.
func (f *injectFlags) one(offline *offline, document conf.Document) ([]byte, error) {
	object, err := document.JSON()
	if err != nil {
		return nil, err
	}
	injected, err := offline.object(object, kindOfItem{})
	if err != nil {
		return nil, multierror.Prefix(err, fmt.Sprintf("%s:%d:", document.Origin.Name, document.Line))
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
