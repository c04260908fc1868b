package cli

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"k8s-sidecar-injector/cli/hangup"
)

// programName is the name of the binary. It is also the name in events and the User-Agent header.
const programName = "k8s-sidecar-injector"

// IOStreams are the standard streams and the environment of the process.
type IOStreams struct {
	In          io.Reader
	Out, ErrOut io.Writer
	// Getenv returns the value of an environment variable, or "" if it is unset.
	Getenv func(string) string
}

// errLogged is the error of a command that has logged its error.
var errLogged = errors.New("the log contains the error")

// Run executes a command line, which begins with the name of the program, and returns the exit code. After an error,
// it prints the error and returns 1, or the exit code of the command.
func Run(args []string, streams IOStreams) int {
	root := newRoot(args[0], streams)
	root.SetArgs(args[1:])
	if filepath.Base(args[0]) == pluginCompletionName {
		root.SetArgs(append([]string{cobra.ShellCompRequestCmd}, args[1:]...))
	}
	command, err := root.ExecuteC()
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errDifferent):
		return 1
	case !errors.Is(err, errLogged):
		reportf(streams.ErrOut, "%s: %v\n", root.DisplayName(), err)
	}
	if lacksCluster(err) {
		printLocalCommands(streams.ErrOut, root.DisplayName())
	}
	if command.Annotations[errorIsTwo] != "" {
		return 2
	}
	return 1
}

// newRoot returns the command tree. The root command serves, except that of the plugin.
func newRoot(name string, streams IOStreams) *cobra.Command {
	var root *cobra.Command
	switch filepath.Base(name) {
	case pluginName, pluginCompletionName:
		root = newPlugin()
	case entrypointName:
		streams.Getenv = entrypointGetenv(streams.Getenv)
		root = newServe(streams)
		setEntrypointDefaults(root.Flags())
	default:
		root = newServe(streams)
	}
	if root.Runnable() {
		root.AddCommand(newReload(streams))
	}
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	root.SilenceErrors = true
	root.SilenceUsage = true
	setHelp(root)
	root.PersistentPreRunE = func(command *cobra.Command, _ []string) error {
		if command == root {
			return nil
		}
		return hangup.Reset() // only the daemon reloads
	}
	root.SetFlagErrorFunc(func(command *cobra.Command, err error) error {
		return fmt.Errorf("%w; see `%s --help`", err, command.CommandPath())
	})
	root.AddCommand(newInject(streams), newExplain(streams), newReport(streams), newList(streams), newDescribe(streams),
		newDiff(streams), newCheck(streams), newValidate(streams), newSchema(streams), newVersion())
	completeChoices(root)
	return root
}
