package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/conf/podrules"
	"k8s-sidecar-injector/watcher"
)

// validateOptions are the options of the validate command.
type validateOptions struct {
	injection injectionOptions // only the rules
	source    string
	strict    bool
}

func newValidate(streams IOStreams) *cobra.Command {
	o := new(validateOptions)
	command := &cobra.Command{
		Use:   "validate PATH...",
		Short: "Validate sidecar definitions and print all errors",
		Long: "Validates definitions as the daemon loads them. A PATH is a config directory or a file in one. A file is\n" +
			"loaded together with its directory, so that the definitions that it inherits from are found, but only\n" +
			"errors of the file and of bases in subdirectories are printed. After an error, the exit code is 1. Warnings\n" +
			"are printed too, and count as errors with --strict. With --source=configmaps, each directory is validated\n" +
			"as a ConfigMap with its files as keys.",
		Example: `  k8s-sidecar-injector validate conf/
  k8s-sidecar-injector validate conf/logger.yaml

  # Files that will be the keys of a ConfigMap
  k8s-sidecar-injector validate --source=configmaps sidecars/`,
		Args: func(_ *cobra.Command, paths []string) error {
			if len(paths) == 0 {
				return errors.New("no PATH; want a config directory or a file in one")
			}
			return nil
		},
		RunE: func(command *cobra.Command, paths []string) error { return o.run(command, streams, paths) },
	}
	o.injection.AddRuleFlags(command.Flags())
	command.Flags().StringVar(&o.source, "source", "files",
		"source that will contain the definitions: files or configmaps")
	command.Flags().BoolVar(&o.strict, "strict", false, "exit with 1 after a warning as well")
	return command
}

func (o *validateOptions) run(command *cobra.Command, streams IOStreams, paths []string) error {
	e := readEnvironment(command.Flags(), streams.Getenv)
	o.injection.CompleteRules(e)
	kind, err := conf.ParseKind(o.source)
	e.add("source", err)
	if err := e.err(); err != nil {
		return err
	}
	directories, err := selectDocuments(command.Context(), kind, paths)
	if err != nil {
		return err
	}
	rejected, total, warnings := 0, 0, 0
	for _, d := range directories {
		set, err := o.injection.rules.Load(command.Context(), d.documents, nil)
		if err != nil {
			return err
		}
		d.printValid(set, streams.Out)
		warnings += d.printWarnings(set, streams.ErrOut)
		rejections := d.rejections(set)
		for _, rejection := range rejections {
			for _, err := range rejection.Errors.Errors {
				fmt.Fprintln(streams.ErrOut, err)
			}
			d.reported[rejection.Origin] = true
		}
		rejected += len(rejections)
		total += len(d.reported)
	}
	if rejected > 0 {
		return fmt.Errorf("documents that would be rejected: %d of %d", rejected, total)
	}
	if warnings > 0 && o.strict {
		return fmt.Errorf("warnings, which --strict does not allow: %d", warnings)
	}
	return nil
}

// configDirectory is a config directory and the documents of it that are reported.
type configDirectory struct {
	path      string
	documents []conf.Document
	reported  map[conf.Origin]bool
}

// selectDocuments reads the directories of all paths, each once, and selects the documents of the paths.
func selectDocuments(ctx context.Context, kind conf.Kind, paths []string) ([]*configDirectory, error) {
	var all []*configDirectory
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		directory, file := filepath.Clean(path), ""
		if !info.IsDir() {
			directory, file = filepath.Dir(path), filepath.Base(path)
		}
		i := slices.IndexFunc(all, func(d *configDirectory) bool { return d.path == directory })
		if i < 0 {
			documents, err := readDirectory(ctx, kind, directory)
			if err != nil {
				return nil, err
			}
			i = len(all)
			all = append(all, &configDirectory{directory, documents, make(map[conf.Origin]bool)})
		}
		if !all[i].selectFile(file) {
			return nil, fmt.Errorf("%s: no definitions there; want *.yaml or *.yml, and no dot files", path)
		}
	}
	return all, nil
}

// selectFile selects the documents of a file, or all if it is empty. It reports whether there are any.
func (d *configDirectory) selectFile(file string) (found bool) {
	for _, document := range d.documents {
		if !document.BaseOnly && (file == "" || document.Origin.Name == file) {
			d.reported[document.Origin] = true
			found = true
		}
	}
	return found
}

// readDirectory returns the documents of a directory, or of a ConfigMap with the same content.
func readDirectory(ctx context.Context, kind conf.Kind, path string) ([]conf.Document, error) {
	documents, err := watcher.NewDirectory(path, zerolog.Nop()).Documents(ctx)
	if kind == conf.File || err != nil {
		return documents, err
	}
	documents = slices.DeleteFunc(documents, func(d conf.Document) bool { return d.BaseOnly })
	for i := range documents {
		documents[i].Origin.Kind = conf.ConfigMap
	}
	return documents, nil
}

// rejections returns the rejections of the reported documents. If there are any, it also returns those of bases that
// are not served: such a document is only loaded if another inherits from it, so its errors explain the other's.
func (d *configDirectory) rejections(set *conf.Set) []conf.Rejection {
	bases := make(map[conf.Origin]bool)
	for _, document := range d.documents {
		bases[document.Origin] = document.BaseOnly
	}
	var rejections []conf.Rejection
	explained := false
	for _, r := range set.Rejections {
		if d.reported[r.Origin] || bases[r.Origin] {
			rejections = append(rejections, r)
		}
		explained = explained || d.reported[r.Origin]
	}
	if !explained {
		return nil
	}
	return rejections
}

func (d *configDirectory) printValid(set *conf.Set, out io.Writer) {
	stricter := map[podrules.Level]podrules.Level{
		podrules.Privileged: podrules.Baseline, podrules.Baseline: podrules.Restricted,
	}
	for _, s := range set.Sidecars {
		if !d.reported[s.Origin] {
			continue
		}
		fmt.Fprintf(out, "%s: %s is valid, needs Pod Security level %s", s.Origin, s.Ref, s.Level)
		if len(s.Violations) > 0 {
			fmt.Fprintf(out, " (not %s: %s)", stricter[s.Level], strings.Join(s.Violations, ", "))
		}
		fmt.Fprintln(out)
	}
}

// printWarnings prints the warnings about the reported documents, and returns their number.
func (d *configDirectory) printWarnings(set *conf.Set, out io.Writer) (count int) {
	for _, s := range set.Sidecars {
		if !d.reported[s.Origin] {
			continue
		}
		for _, warning := range s.Warnings {
			fmt.Fprintf(out, "warning: %s\n", warning)
			count++
		}
	}
	return count
}
