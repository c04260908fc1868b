package cli

import (
	"github.com/spf13/cobra"

	"k8s-sidecar-injector/conf"
)

func newSchema(streams IOStreams) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of sidecar definitions, for editors",
		Long: "Prints the JSON Schema of a sidecar definition, draft-07. With it, an editor completes fields, shows their\n" +
			"documentation and marks mistakes. The schema accepts every valid definition. It finds unknown fields and\n" +
			"most wrong types; validate finds all errors.",
		Example: `  k8s-sidecar-injector schema > sidecar.schema.json

  # In the first line of a definition, for the YAML extension of VS Code:
  # yaml-language-server: $schema=./sidecar.schema.json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := streams.Out.Write(conf.JSONSchema())
			return err
		},
	}
}
