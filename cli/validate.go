package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/watcher"
)

// validateOptions are the options of the validate command.
type validateOptions struct {
	definitions definitionOptions // only the rules
	source      string
}

func newValidate(streams IOStreams) *cobra.Command {
	o := new(validateOptions)
	command := &cobra.Command{
		Use:   "validate PATH...",
		Short: "Validate sidecar definitions and print all errors",
		Long: "Validates definitions as the daemon loads them. A PATH is a config directory or a file in one. A file is\n" +
			"loaded together with its directory, so that the definitions that it inherits from are found, but only\n" +
			"errors of the file and of bases in subdirectories are printed. After an error, the exit code is 1. With\n" +
			"--source=configmaps, each directory is validated as a ConfigMap with its files as keys.",
		Args: func(_ *cobra.Command, paths []string) error {
			if len(paths) == 0 {
				return errors.New("no PATH; want a config directory or a file in one")
			}
			return nil
		},
		RunE: func(command *cobra.Command, paths []string) error {
			return o.run(command, streams, paths)
		},
	}
	o.AddFlags(command.Flags())
	return command
}

func (o *validateOptions) AddFlags(flags *pflag.FlagSet) {
	o.definitions.AddRuleFlags(flags)
	flags.StringVar(&o.source, "source", "files", "source that will contain the definitions: files or configmaps")
}

func (o *validateOptions) run(command *cobra.Command, streams IOStreams, paths []string) error {
	ctx := command.Context()
	e := readEnvironment(command.Flags(), streams.Getenv)
	o.definitions.CompleteRules(e)
	kind, err := conf.ParseKind(o.source)
	e.add("source", err)
	if err := e.err(); err != nil {
		return err
	}
	directories, err := readDirectories(ctx, kind, paths)
	if err != nil {
		return err
	}
	rejected, total := 0, 0
	for _, d := range directories {
		r, t, err := d.validate(ctx, o.definitions.rules, streams)
		if err != nil {
			return err
		}
		rejected += r
		total += t
	}
	if rejected > 0 {
		return fmt.Errorf("documents that would be rejected: %d of %d", rejected, total)
	}
	return nil
}

// configDirectory is a config directory with a selection of its documents.
type configDirectory struct {
	path      string
	documents []conf.Document
	selected  map[conf.Origin]bool
}

// readDirectories reads the directories of all paths, each once, and selects the documents of the paths.
func readDirectories(ctx context.Context, kind conf.Kind, paths []string) ([]*configDirectory, error) {
	var all []*configDirectory
	for _, path := range paths {
		directory, file, err := splitPath(path)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(all, func(d *configDirectory) bool { return d.path == directory })
		if i < 0 {
			d, err := readDirectory(ctx, kind, directory)
			if err != nil {
				return nil, err
			}
			i = len(all)
			all = append(all, d)
		}
		if !all[i].selectFile(file) {
			return nil, fmt.Errorf("%s: no definitions there; want *.yaml or *.yml, and no dot files", path)
		}
	}
	return all, nil
}

// splitPath splits a path into directory and file. The file is empty for a directory.
func splitPath(path string) (directory, file string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", "", err
	}
	if info.IsDir() {
		return filepath.Clean(path), "", nil
	}
	return filepath.Dir(path), filepath.Base(path), nil
}

func readDirectory(ctx context.Context, kind conf.Kind, path string) (*configDirectory, error) {
	documents, err := watcher.NewDirectory(path, zerolog.Nop()).Documents(ctx)
	if err != nil {
		return nil, err
	}
	if kind == conf.ConfigMap {
		documents = slices.DeleteFunc(documents, func(d conf.Document) bool { return d.BaseOnly })
		for i := range documents {
			documents[i].Origin.Kind = conf.ConfigMap
		}
	}
	return &configDirectory{path: path, documents: documents, selected: make(map[conf.Origin]bool)}, nil
}

// selectFile selects the documents of a file, or all if it is empty. It reports whether there are any.
func (d *configDirectory) selectFile(file string) (found bool) {
	for _, document := range d.documents {
		if !document.BaseOnly && (file == "" || document.Origin.Name == file) {
			d.selected[document.Origin] = true
			found = true
		}
	}
	return found
}

// validate loads the directory as a daemon would and prints the results of the selected documents. It returns the
// numbers of rejected and of all documents that it reports on.
func (d *configDirectory) validate(
	ctx context.Context, rules conf.Rules, streams IOStreams,
) (rejected, total int, err error) {
	set, err := rules.Load(ctx, d.documents, nil)
	if err != nil {
		return 0, 0, err
	}
	d.printValid(set, streams.Out)
	total = len(d.selected)
	isSelected := func(r conf.Rejection) bool { return d.selected[r.Origin] }
	if !slices.ContainsFunc(set.Rejections, isSelected) {
		return 0, total, nil
	}
	for _, rejection := range set.Rejections {
		switch {
		case isSelected(rejection):
		case d.isBase(rejection.Origin):
			total++
		default:
			continue
		}
		rejected++
		for _, err := range rejection.Errors.Errors {
			fmt.Fprintln(streams.ErrOut, err)
		}
	}
	return rejected, total, nil
}

func (d *configDirectory) printValid(set *conf.Set, out io.Writer) {
	for _, sidecar := range set.Sidecars {
		if !d.selected[sidecar.Origin] {
			continue
		}
		fmt.Fprintf(out, "%s: %s is valid, needs Pod Security level %s\n", sidecar.Origin, sidecar.Ref, sidecar.Level)
		for _, name := range sidecar.Unused() {
			fmt.Fprintf(out, "%s: %s does not use its parameter %s; there is no ${%s}\n",
				sidecar.Origin, sidecar.Ref, name, name)
		}
	}
}

// isBase reports whether a document is not served itself. Such a document is only loaded if another inherits from it,
// so its errors explain the rejection of the other.
func (d *configDirectory) isBase(origin conf.Origin) bool {
	return slices.ContainsFunc(d.documents, func(document conf.Document) bool {
		return document.BaseOnly && document.Origin == origin
	})
}
