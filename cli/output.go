package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/pflag"

	"k8s-sidecar-injector/conf"
)

const outputYAML = "yaml"

// outputFormats is the key of an annotation of the flag --output.
const outputFormats = "formats"

// addOutput adds the flag --output. The first format is the default.
func addOutput(flags *pflag.FlagSet, output *string, usage string, formats ...string) {
	flags.StringVarP(output, "output", "o", formats[0], usage)
	_ = flags.SetAnnotation("output", outputFormats, formats) // the flag exists
}

// checkOutput adds an error if the value of --output is none of its formats.
func checkOutput(e *flagErrors) {
	flag := e.flags.Lookup("output")
	if formats := flag.Annotations[outputFormats]; !slices.Contains(formats, flag.Value.String()) {
		e.add("output", fmt.Errorf("%q is none of %s", flag.Value, strings.Join(formats, ", ")))
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
