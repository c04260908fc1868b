package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/hashicorp/go-multierror"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/store"
	"k8s-sidecar-injector/watcher"
)

// manifestFlags are those of the commands that look at manifests.
type manifestFlags struct {
	definitionFlags
	files     []string
	namespace string
}

func (f *manifestFlags) define(flags flagSet) {
	f.definitionFlags.define(flags)
	flags.StringArrayVarP(&f.files, "filename", "f", nil, "`file` of manifests, - for standard input; may be given several times")
	flags.StringVarP(&f.namespace, "namespace", "n", "default", "namespace of what names none")
}

// onlyFlags refuses files that are named without -f.
func onlyFlags(command *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("%q: name files with -f: %s -f %s", args[0], command.CommandPath(), strings.Join(args, " -f "))
}

// check reads the environment and gives everything that is wrong with the flags at once.
func (f *manifestFlags) check(process Process) (*mutate.Policy, *multierror.Error) {
	faults := multierror.Append(nil, f.readEnvironment(process.Getenv))
	policy, err := f.policy()
	_, wrong := f.rules()
	faults = multierror.Append(faults, err, wrong)
	if len(f.files) == 0 || slices.Contains(f.files, "") {
		faults = multierror.Append(faults, errors.New("--filename (-f) is needed: a file of manifests, or - for standard input"))
	}
	if first := slices.Index(f.files, "-"); first >= 0 && slices.Contains(f.files[first+1:], "-") {
		faults = multierror.Append(faults, errors.New("--filename: standard input can be read only once: give - only once"))
	}
	if why := validation.IsDNS1123Label(f.namespace); len(why) > 0 {
		faults = multierror.Append(faults, fmt.Errorf("--namespace: %q: %s", f.namespace, strings.Join(why, "; ")))
	}
	return policy, faults
}

// source gives the config directory, or the built-in samples where there is none.
func (f *manifestFlags) source(report io.Writer) watcher.Source {
	if source := f.directory(zerolog.Nop()); source != nil {
		return source
	}
	fmt.Fprintln(report, "using the built-in samples: give --config-directory to use your own")
	return samples{}
}

// snapshot loads sidecars once. Rejected documents are reported and passed over, as the daemon
// would. The flags have been checked.
func (f *manifestFlags) snapshot(ctx context.Context, documents []conf.Document, report io.Writer) (*store.Snapshot, error) {
	rules, _ := f.rules()
	snapshots := new(store.Store)
	set, err := rules.Load(ctx, documents, nil)
	if err != nil {
		return nil, err
	}
	snapshots.Publish(set)
	for rejection := range snapshots.Current().Rejections() {
		for _, fault := range rejection.Errors.Errors {
			fmt.Fprintf(report, "rejected: %v\n", fault)
		}
	}
	return snapshots.Current(), nil
}

// read gives the manifests of all files, one document each.
func (f *manifestFlags) read(stdin io.Reader) ([]conf.Document, error) {
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

// each visits all documents and reports every error, with its place. It gives how many failed.
func each(documents []conf.Document, report io.Writer, visit func(conf.Document) error) (failed int) {
	for _, document := range documents {
		if err := visit(document); err != nil {
			failed++
			for _, fault := range multierror.Append(nil, err).Errors {
				fmt.Fprintln(report, strings.TrimPrefix(fault.Error(), "file "))
			}
		}
	}
	return failed
}

// document visits the pods in the object of a document. Each error has its place.
func (o *offline) document(document conf.Document, object []byte, visit visitor) ([]byte, error) {
	after, err := o.object(object, kindOfItem{}, visit)
	if err != nil {
		return nil, multierror.Prefix(err, fmt.Sprintf("%s:%d:", document.Origin.Name, document.Line))
	}
	return after, nil
}
