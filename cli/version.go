package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// release is set by the linker: -X k8s-sidecar-injector/cli.release=v1.2.3.
var release string //nolint:gochecknoglobals // the linker can set nothing else

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return printVersion(command)
		},
	}
}

// addVersionFlag adds --version. Cobra's own needs a template to print the same line as the
// command, and with text/template in it the linker keeps every method there is: 10 MB more.
func addVersionFlag(command *cobra.Command) {
	asked := command.Flags().Bool("version", false, "print the version")
	run := command.RunE
	command.RunE = func(command *cobra.Command, args []string) error {
		if *asked {
			return printVersion(command)
		}
		return run(command, args)
	}
}

func printVersion(command *cobra.Command) error {
	_, err := fmt.Fprintln(command.OutOrStdout(), versionLine())
	return err
}

// versionLine is what version and --version print.
func versionLine() string {
	return fmt.Sprintf("%s %s %s %s/%s", programName, version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// version is the release or, in a build without one, the commit that Go has noted.
func version() string {
	if release != "" {
		return release
	}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if build.Main.Version != "" && build.Main.Version != "(devel)" {
		return build.Main.Version
	}
	for _, setting := range build.Settings {
		if setting.Key == "vcs.revision" {
			return "devel-" + setting.Value[:min(12, len(setting.Value))]
		}
	}
	return "devel"
}
