package cli

import (
	"bytes"
	"cmp"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"

	"k8s-sidecar-injector/conf"
)

// listOptions are the options of the list command.
type listOptions struct {
	inspection inspectionOptions
	namespace  string
	output     string
}

func newList(streams IOStreams) *cobra.Command {
	o := &listOptions{inspection: inspectionOptions{clusterOptional: true, allNamespaces: true}}
	command := &cobra.Command{
		Use:   "list",
		Short: "List the sidecars that pods can request",
		Long: "Lists the definitions that the injector serves, with their parameters and the namespaces that may use\n" +
			"them. Rejected definitions are printed to standard error, and are no error. The Deployment of the injector\n" +
			"is found in the cluster, and its flags decide which definitions are read. With only\n" +
			"--config-directory, the directory is read and no cluster.",
		Example: `  k8s-sidecar-injector list
  k8s-sidecar-injector list -n shop -o wide
  k8s-sidecar-injector list --config-directory=conf/ -o json`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return o.run(command, streams) },
	}
	flags := command.Flags()
	flags.StringVarP(&o.namespace, "namespace", "n", "", "list only the sidecars that pods of this namespace may use")
	addOutput(flags, &o.output,
		outputTable+", "+outputWide+" (also digests, bases and images), "+outputJSON+" or "+outputYAML,
		outputTable, outputWide, outputJSON, outputYAML)
	o.inspection.AddInstallationFlags(flags)
	o.inspection.completeFlags(command, streams, o.inspection.Complete)
	return command
}

// Complete validates all flags.
func (o *listOptions) Complete(e *flagErrors) {
	o.inspection.Complete(e)
	if o.namespace != "" {
		e.checkName("namespace", o.namespace, validation.IsDNS1123Label)
	}
	checkOutput(e)
}

func (o *listOptions) run(command *cobra.Command, streams IOStreams) error {
	e := readEnvironment(command.Flags(), streams.Getenv)
	o.Complete(e)
	if err := e.err(); err != nil {
		return err
	}
	in, err := o.inspection.newInspection(command.Context(), e, streams.ErrOut)
	if err != nil {
		return err
	}
	listing := in.snapshot.Listing()
	listing.Items = []conf.ListedSidecar{}
	for s := range in.snapshot.Sidecars() {
		if o.namespace == "" || s.Allows(o.namespace) {
			listing.Items = append(listing.Items, in.listed(s))
		}
	}
	if slices.Contains([]string{outputJSON, outputYAML}, o.output) {
		return printValue(streams.Out, o.output, listing)
	}
	var text bytes.Buffer
	printListing(&text, listing.Items, o.output == outputWide)
	_, err = streams.Out.Write(text.Bytes())
	return err
}

func printListing(w io.Writer, items []conf.ListedSidecar, wide bool) {
	table := [][]string{{"REF", "ORIGIN", "LEVEL", "PARAMETERS", "ALLOWED NAMESPACES"}}
	if wide {
		table[0] = append(table[0], "DIGEST", "INHERITS", "IMAGES")
	}
	for i := range items {
		s := &items[i]
		names := texts(s.Parameters, func(p conf.ListedParameter) string { return p.Name })
		origin := s.Origin
		if s.Stale {
			origin += " (stale)"
		}
		row := []string{s.Ref, printable(origin), printable(s.Level), cell(names), cell(s.AllowedNamespaces)}
		if wide {
			bases := texts(s.Inherits, func(base conf.ListedBase) string { return base.Ref })
			row = append(row, s.Digest[:digestColumns], cell(bases), cell(s.Images))
		}
		table = append(table, row)
	}
	writeTable(w, table)
}

// digestColumns is the width of digests in tables, as in annotations.
const digestColumns = 12

// cell returns the cell of a table for a list.
func cell(list []string) string {
	return cmp.Or(printable(strings.Join(list, ",")), "-")
}
