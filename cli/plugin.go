package cli

import (
	"regexp"

	"github.com/spf13/cobra"
)

const (
	// pluginName is the name of a link that makes the program a plugin of kubectl.
	pluginName = "kubectl-sidecars"
	// pluginCompletionName is the name of a link that kubectl runs to complete the arguments of the plugin.
	pluginCompletionName = "kubectl_complete-sidecars"
)

// newPlugin returns the root command of the plugin, which does not serve.
func newPlugin() *cobra.Command {
	return &cobra.Command{
		Use:   "sidecars",
		Short: "Find and check the sidecars that an injector adds to pods",
		Long: "Lists the sidecars that pods can request, explains what a workload gets, and reports which pods have\n" +
			"outdated sidecars. The injector is found in the cluster.",
		Example: `  k8s-sidecar-injector list
  k8s-sidecar-injector explain deploy/web -n shop
  k8s-sidecar-injector report -A`,
		Annotations:       map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl sidecars"},
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
}

var exampleCommand = regexp.MustCompile(`(?m)(^  |\| )` + programName + " ")

// exampleOf returns the examples of a command as the user runs it.
func exampleOf(command *cobra.Command) string {
	return exampleCommand.ReplaceAllString(command.Example, "${1}"+command.Root().DisplayName()+" ")
}
