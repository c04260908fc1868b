package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"k8s-sidecar-injector/cli/hangup"
)

// programName is the name of the binary, and of what it logs and prints.
const programName = "k8s-sidecar-injector"

// Process is what a command has of the process that it runs in.
type Process struct {
	// Name is what it was started by, which may be a path.
	Name           string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Getenv gives the value of an environment variable; unset and empty are the same.
	Getenv func(string) string
}

// System is the process itself.
func System() Process {
	process := Process{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv}
	if len(os.Args) > 0 {
		process.Name = os.Args[0]
	}
	return process
}

// Run executes the command that the arguments name and returns the exit code: 0, or 1 after
// an error, which is then on Stderr.
func Run(args []string, process Process) int {
	root := newRoot(process)
	root.SetArgs(args)
	ctx := context.Background() //nolint:forbidigo // the one root of all contexts
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	text := fmt.Sprintf("%s: %v\n", programName, err)
	if _, served := errors.AsType[servedError](err); served {
		w := newLogWriter(process.Stderr)
		w.start()
		_, _ = io.WriteString(w, text)
		w.close()
		return 1
	}
	_, _ = io.WriteString(process.Stderr, text)
	return 1
}

// newRoot builds the command tree. Without a command, the program serves.
func newRoot(process Process) *cobra.Command {
	root := newServe(process)
	if process.likeEntrypoint() {
		root = newEntrypoint(process)
	}
	root.SetIn(process.Stdin)
	root.SetOut(process.Stdout)
	root.SetErr(process.Stderr)
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.PersistentPreRunE = func(command *cobra.Command, _ []string) error {
		if command == root {
			return nil
		}
		return hangup.Default() // only what serves reloads
	}
	addVersionFlag(root)
	root.SetFlagErrorFunc(func(command *cobra.Command, err error) error {
		return fmt.Errorf("%w; see `%s --help`", err, command.CommandPath())
	})
	root.AddCommand(newInject(process), newExplain(process), newValidate(process), newReload(process), newVersion())
	return root
}
