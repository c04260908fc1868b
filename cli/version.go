package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// release is set by the linker: -X k8s-sidecar-injector/cli.release=v1.2.3.
var release string //nolint:gochecknoglobals // the linker sets only variables

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

// addVersionFlag adds the flag --version. The one of cobra uses text/template, which makes the linker keep all exported
// methods: 10 MB.
func addVersionFlag(command *cobra.Command) {
	showVersion := command.Flags().Bool("version", false, "print the version")
	run := command.RunE
	command.RunE = func(command *cobra.Command, args []string) error {
		if *showVersion {
			return printVersion(command)
		}
		return run(command, args)
	}
}

func printVersion(command *cobra.Command) error {
	_, err := fmt.Fprintf(command.OutOrStdout(), "%s %s %s %s/%s\n",
		programName, version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// version returns the release, or the commit of the build if there is no release.
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
