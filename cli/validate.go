package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/go-multierror"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/watcher"
)

// validateFlags are those of the validate command.
type validateFlags struct {
	ruleFlags
	source string
}

func newValidate(process Process) *cobra.Command {
	command := &cobra.Command{
		Use:   "validate PATH...",
		Short: "Check sidecar definitions and print every error",
		Long: "Checks definitions as the daemon would load them. A PATH is a config directory, or a file in one:\n" +
			"a file is checked together with its directory, so that what it inherits is found, but only its own\n" +
			"errors are printed, and those of bases in subdirectories. Exits with 1 if there is any. With\n" +
			"--source=configmaps, each directory is checked as a ConfigMap that has its files as keys.",
		Args: func(_ *cobra.Command, paths []string) error {
			if len(paths) == 0 {
				return errors.New("give a config directory or a file of it")
			}
			return nil
		},
	}
	var f validateFlags
	flags := newFlagSet(command.Flags())
	f.define(flags)
	flags.StringVar(&f.source, "source", "files", "what the definitions are to be served from: files or configmaps")
	command.RunE = func(command *cobra.Command, paths []string) error {
		return f.run(command.Context(), process, paths)
	}
	return command
}

func (f *validateFlags) run(ctx context.Context, process Process, paths []string) error {
	faults := multierror.Append(nil, f.readEnvironment(process.Getenv))
	rules, err := f.rules()
	faults = multierror.Append(faults, err)
	source, err := conf.ParseKind(f.source)
	if err != nil {
		faults = multierror.Append(faults, fmt.Errorf("--source: %w", err))
	}
	if err := listed(faults); err != nil {
		return err
	}
	all, err := gather(ctx, source, paths)
	if err != nil {
		return err
	}
	rejected, total := 0, 0
	for _, d := range all {
		bad, asked, err := d.validate(ctx, rules, process.Stdout, process.Stderr)
		if err != nil {
			return err
		}
		rejected += bad
		total += asked
	}
	if rejected > 0 {
		return fmt.Errorf("documents that would be rejected: %d of %d", rejected, total)
	}
	return nil
}

// directory is a config directory with the documents of it that were asked for.
type directory struct {
	path      string
	documents []conf.Document
	wanted    map[conf.Origin]bool
}

func (d *directory) reportValid(set *conf.Set, stdout io.Writer) {
	for _, sidecar := range set.Sidecars {
		if !d.wanted[sidecar.Origin] {
			continue
		}
		fmt.Fprintf(stdout, "%s: %s is valid, needs Pod Security level %s\n", sidecar.Origin, sidecar.Ref, sidecar.Level)
		for _, name := range sidecar.Unused() {
			fmt.Fprintf(stdout, "%s: %s has a parameter %s, but ${%s} stands nowhere in it\n", sidecar.Origin, sidecar.Ref, name, name)
		}
	}
}

// validate loads the directory as a daemon would, by itself, and reports what was asked for: how
// many documents would be rejected, and of how many.
func (d *directory) validate(ctx context.Context, rules conf.Rules, stdout, stderr io.Writer) (rejected, total int, err error) {
	set, err := rules.Load(ctx, d.documents, nil)
	if err != nil {
		return 0, 0, err
	}
	d.reportValid(set, stdout)
	asked := func(r conf.Rejection) bool { return d.wanted[r.Origin] }
	total = len(d.wanted)
	if !slices.ContainsFunc(set.Rejections, asked) {
		return 0, total, nil
	}
	for _, rejection := range set.Rejections {
		base := d.onlyBase(rejection.Origin)
		if base {
			total++
		}
		if !base && !asked(rejection) {
			continue
		}
		rejected++
		for _, fault := range rejection.Errors.Errors {
			fmt.Fprintln(stderr, fault)
		}
	}
	return rejected, total, nil
}

// onlyBase tells the files in subdirectories, which are read when something inherits them. Their
// errors say why what was asked for is rejected.
func (d *directory) onlyBase(origin conf.Origin) bool {
	return !slices.ContainsFunc(d.documents, func(listed conf.Document) bool { return listed.Origin == origin })
}

// gather reads the directories of all paths, each once, and notes which documents were asked for.
func gather(ctx context.Context, source conf.Kind, paths []string) ([]*directory, error) {
	var all []*directory
	for _, path := range paths {
		place, file, err := locate(path)
		if err != nil {
			return nil, err
		}
		at := slices.IndexFunc(all, func(d *directory) bool { return d.path == place })
		if at < 0 {
			documents, err := watcher.NewDirectory(place, zerolog.Nop()).Documents(ctx)
			if err != nil {
				return nil, err
			}
			if source == conf.ConfigMap {
				inConfigMap(documents)
			}
			at = len(all)
			all = append(all, &directory{path: place, documents: documents, wanted: make(map[conf.Origin]bool)})
		}
		if all[at].want(file) == 0 {
			return nil, fmt.Errorf("%s: no definitions there: want *.yaml or *.yml, and no dot files", path)
		}
	}
	return all, nil
}

// inConfigMap makes the files of a directory the keys of a ConfigMap.
func inConfigMap(documents []conf.Document) {
	for i := range documents {
		documents[i].Origin.Kind = conf.ConfigMap
		documents[i].Files = nil
	}
}

// locate splits a path into directory and file; the file is empty for a directory.
func locate(path string) (directory, file string, err error) {
	found, err := os.Stat(path)
	if err != nil {
		return "", "", err
	}
	if found.IsDir() {
		return filepath.Clean(path), "", nil
	}
	return filepath.Dir(path), filepath.Base(path), nil
}

// want marks the documents of a file, or all where it is empty, and counts them.
func (d *directory) want(file string) int {
	count := 0
	for _, document := range d.documents {
		if file == "" || document.Origin.Name == file {
			d.wanted[document.Origin] = true
			count++
		}
	}
	return count
}
