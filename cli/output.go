package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

const outputYAML = "yaml"

// checkOutput adds an error if the value of --output is none of the formats.
func checkOutput(e *flagErrors, output string, formats ...string) {
	if !slices.Contains(formats, output) {
		e.add("output", fmt.Errorf("%q is none of %s", output, strings.Join(formats, ", ")))
	}
}

// printValue prints a value as JSON, or as YAML.
func printValue(w io.Writer, output string, value any) error {
	if output == outputJSON {
		return printJSON(w, value)
	}
	return printYAML(w, value)
}

func printYAML(w io.Writer, value any) error {
	text, err := yaml.Marshal(value)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}
