package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/watcher"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

func newValidate() *cobra.Command {
	return &cobra.Command{
		Use:   "validate PATH...",
		Short: "Check sidecar definitions and print every error",
		Long: "Checks definitions as the daemon would load them. A PATH is a config directory, or a file in one:\n" +
			"a file is checked together with its directory, so that what it inherits is found, but only its own\n" +
			"errors are printed. Exits with 1 if there is any.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(command *cobra.Command, paths []string) error {
			return validate(command, paths)
		},
	}
}

func validate(command *cobra.Command, paths []string) error {
	documents, wanted, err := gather(command.Context(), paths)
	if err != nil {
		return err
	}
	set := conf.Load(documents, nil)
	for _, sidecar := range set.Sidecars {
		if wanted[sidecar.Origin] {
			fmt.Fprintf(command.OutOrStdout(), "%s: %s is valid\n", sidecar.Origin, sidecar.Ref)
		}
	}
	rejected, known := 0, make(map[conf.Origin]bool)
	for _, document := range documents {
		known[document.Origin] = true
	}
	for _, rejection := range set.Rejections {
		// A file that is only a base, in a subdirectory, is not among the documents.
		if !wanted[rejection.Origin] && known[rejection.Origin] {
			continue
		}
		rejected++
		for _, fault := range rejection.Errors.Errors {
			fmt.Fprintln(command.ErrOrStderr(), fault)
		}
	}
	if rejected > 0 {
		return fmt.Errorf("documents that would be rejected: %d of %d", rejected, len(documents))
	}
	return nil
}

// gather reads the directories of all paths, each once, and tells which documents were asked
// for.
func gather(ctx context.Context, paths []string) ([]conf.Document, map[conf.Origin]bool, error) {
	var documents []conf.Document
	directories := make(map[string][]conf.Document)
	wanted := make(map[conf.Origin]bool)
	for _, path := range paths {
		directory, file, err := locate(path)
		if err != nil {
			return nil, nil, err
		}
		if _, read := directories[directory]; !read {
			found, err := watcher.NewDirectory(directory, zerolog.Nop()).Documents(ctx)
			if err != nil {
				return nil, nil, err
			}
			directories[directory] = found
			documents = append(documents, found...)
		}
		if want(wanted, directories[directory], file) == 0 {
			return nil, nil, fmt.Errorf("%s: no definitions there: want *.yaml or *.yml, and no dot files", path)
		}
	}
	return documents, wanted, nil
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
func want(wanted map[conf.Origin]bool, documents []conf.Document, file string) int {
	count := 0
	for _, document := range documents {
		if file == "" || document.Origin.Name == file {
			wanted[document.Origin] = true
			count++
		}
	}
	return count
}
