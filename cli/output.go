package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"k8s-sidecar-injector/conf"
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
	text, err := conf.EncodeYAML(value)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

// reportf prints lines. A terminal does not interpret the texts in them, which may be from a cluster.
func reportf(w io.Writer, format string, args ...any) {
	text := strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, fmt.Sprintf(format, args...))
	_, _ = io.WriteString(w, text) // as of fmt.Fprintf to standard error
}
