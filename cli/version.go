package cli

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
)

// release is set by the linker: -X k8s-sidecar-injector/cli.release=v1.2.3.
var release string //nolint:gochecknoglobals // the linker sets only variables

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long: "Prints the version of the program, of Go and of the platform on one line, like the flag --version of the\n" +
			"daemon.",
		Example: `  k8s-sidecar-injector version`,
		Args:    cobra.NoArgs,
		RunE:    func(command *cobra.Command, _ []string) error { return printVersion(command.OutOrStdout()) },
	}
}

// printVersion also implements the flag --version. The one of cobra uses text/template, which makes the linker keep all
// exported methods: 10 MB.
func printVersion(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s %s %s %s/%s\n",
		programName, version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// buildInfo is a metric with the version of the program.
func buildInfo() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sidecar_injector_build_info", Help: "Version of the program, of Go and of the source; always 1.",
		ConstLabels: prometheus.Labels{"version": version(), "goversion": runtime.Version(), "revision": revision()},
	}, func() float64 { return 1 })
}

// revision returns the commit of the source, or "" if it is unknown.
func revision() string {
	build, _ := debug.ReadBuildInfo()
	if build == nil {
		return ""
	}
	for _, setting := range build.Settings {
		if setting.Key == "vcs.revision" {
			return setting.Value
		}
	}
	return ""
}

// version returns the release, or the version that Go derives from the repository, or devel.
func version() string {
	build, ok := debug.ReadBuildInfo()
	switch {
	case release != "":
		return release
	case ok && build.Main.Version != "" && build.Main.Version != "(devel)":
		return build.Main.Version
	}
	return "devel"
}
