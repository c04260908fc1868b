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

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/watcher"
)

func newValidate() *cobra.Command {
	return &cobra.Command{
		Use:   "validate PATH...",
		Short: "Check sidecar definitions and print every error",
		Long: "Checks definitions as the daemon would load them. A PATH is a config directory, or a file in one:\n" +
			"a file is checked together with its directory, so that what it inherits is found, but only its own\n" +
			"errors are printed, and those of bases in subdirectories. Exits with 1 if there is any.",
		Args: func(_ *cobra.Command, paths []string) error {
			if len(paths) == 0 {
				return errors.New("give a config directory or a file of it")
			}
			return nil
		},
		RunE: func(command *cobra.Command, paths []string) error {
			return validate(command, paths)
		},
	}
}

func validate(command *cobra.Command, paths []string) error {
	all, err := gather(command.Context(), paths)
	if err != nil {
		return err
	}
	rejected, total := 0, 0
	for _, d := range all {
		bad, asked := d.validate(command.OutOrStdout(), command.ErrOrStderr())
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

// validate loads the directory as a daemon would, by itself, and reports what was asked for: how
// many documents would be rejected, and of how many.
func (d *directory) validate(stdout, stderr io.Writer) (rejected, total int) {
	set := conf.Load(d.documents, nil)
	for _, sidecar := range set.Sidecars {
		if d.wanted[sidecar.Origin] {
			fmt.Fprintf(stdout, "%s: %s is valid\n", sidecar.Origin, sidecar.Ref)
		}
	}
	asked := func(r conf.Rejection) bool { return d.wanted[r.Origin] }
	total = len(d.wanted)
	if !slices.ContainsFunc(set.Rejections, asked) {
		return 0, total
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
	return rejected, total
}

// onlyBase tells the files in subdirectories, which are read when something inherits them. Their
// errors say why what was asked for is rejected.
func (d *directory) onlyBase(origin conf.Origin) bool {
	return !slices.ContainsFunc(d.documents, func(listed conf.Document) bool { return listed.Origin == origin })
}

// gather reads the directories of all paths, each once, and notes which documents were asked for.
func gather(ctx context.Context, paths []string) ([]*directory, error) {
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
			at = len(all)
			all = append(all, &directory{path: place, documents: documents, wanted: make(map[conf.Origin]bool)})
		}
		if all[at].want(file) == 0 {
			return nil, fmt.Errorf("%s: no definitions there: want *.yaml or *.yml, and no dot files", path)
		}
	}
	return all, nil
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
