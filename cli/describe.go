package cli

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/store"
)

// describeOptions are the options of the describe command.
type describeOptions struct {
	inspection inspectionOptions
	output     string
	showValues bool
}

func newDescribe(streams IOStreams) *cobra.Command {
	o := &describeOptions{inspection: inspectionOptions{clusterOptional: true, allNamespaces: true}}
	command := &cobra.Command{
		Use:   "describe REF",
		Short: "Describe a sidecar: its parameters, restrictions, inheritance and definition",
		Long: "Prints a definition that the injector serves, with all that it inherits, and the errors of a rejected\n" +
			"definition with this ref. The values of environment variables are hidden. The definitions are those of list.",
		Example: `  k8s-sidecar-injector describe logger:v1
  k8s-sidecar-injector describe logger:v1 --config-directory=conf/ -o yaml --show-values`,
		Args: func(_ *cobra.Command, refs []string) error {
			if len(refs) != 1 {
				return errors.New("want one REF, such as logger:v1; `list` prints them")
			}
			return nil
		},
		RunE:              func(command *cobra.Command, refs []string) error { return o.run(command, streams, refs[0]) },
		ValidArgsFunction: o.inspection.completeRef(streams),
	}
	flags := command.Flags()
	flags.BoolVar(&o.showValues, "show-values", false, "show the values of environment variables")
	addOutput(flags, &o.output, outputText+", "+outputJSON+" or "+outputYAML, outputText, outputJSON, outputYAML)
	o.inspection.AddInstallationFlags(flags)
	o.inspection.completeFlags(command, streams, o.inspection.Complete)
	return command
}

// description describes a ref, in the JSON format of docs/list.md. No field is omitted.
type description struct {
	// Sidecar is null if no sidecar of the ref is served. Definition also is if only the replicas have it.
	Sidecar     *conf.ListedSidecar    `json:"sidecar"`
	InheritedBy []string               `json:"inheritedBy"`
	Definition  map[string]any         `json:"definition"`
	Rejections  []conf.ListedRejection `json:"rejections"`
}

func (o *describeOptions) run(command *cobra.Command, streams IOStreams, text string) error {
	e := readEnvironment(command.Flags(), streams.Getenv)
	o.inspection.Complete(e)
	checkOutput(e)
	ref, err := conf.ParseRef(text)
	if err != nil {
		e.addf("%q: %w", text, err)
	}
	if err := e.err(); err != nil {
		return err
	}
	var report bytes.Buffer
	in, err := o.inspection.newInspection(command.Context(), e, &report)
	for line := range strings.Lines(report.String()) {
		if strings.HasPrefix(line, "warning: ") { // not a rejection, which may be of another ref
			fmt.Fprint(streams.ErrOut, line)
		}
	}
	if err != nil {
		return err
	}
	d, err := describe(in, ref)
	if err != nil {
		return err
	}
	if !o.showValues && d.Definition != nil {
		d.Definition, _ = hideValues(d.Definition).(map[string]any)
	}
	if o.output != outputText {
		return printValue(streams.Out, o.output, d)
	}
	var page bytes.Buffer
	if err := d.print(&page); err != nil {
		return err
	}
	_, err = streams.Out.Write(page.Bytes())
	return err
}

// describe returns the description of a ref. The error suggests other refs.
func describe(in *inspection, ref conf.Ref) (*description, error) {
	snapshot := in.snapshot
	d := &description{InheritedBy: []string{}, Rejections: []conf.ListedRejection{}}
	for _, rejection := range snapshot.Listing().Rejections {
		if rejection.Ref == ref.String() {
			d.Rejections = append(d.Rejections, rejection)
		}
	}
	s := snapshot.Sidecar(ref)
	if s == nil && len(d.Rejections) == 0 {
		return nil, unknownRef(snapshot, ref)
	}
	if s == nil {
		return d, nil
	}
	if d.Sidecar = new(in.listed(s)); !s.Stale {
		d.Definition = s.Definition()
	}
	for other := range snapshot.Sidecars() {
		for base := range other.Bases() {
			if base.Ref == ref && base.Origin == s.Origin {
				d.InheritedBy = append(d.InheritedBy, other.Ref.String())
			}
		}
	}
	return d, nil
}

// unknownRef returns an error that names other versions of the sidecar, or the nearest ref.
func unknownRef(snapshot *store.Snapshot, ref conf.Ref) error {
	var all, versions []string
	for s := range snapshot.Sidecars() {
		all = append(all, s.Ref.String())
		if s.Ref.Name == ref.Name {
			versions = append(versions, s.Ref.String())
		}
	}
	if versions != nil {
		return fmt.Errorf("no sidecar %s, but there is %s", ref, strings.Join(versions, ", "))
	}
	return fmt.Errorf("no sidecar %s%s", ref, conf.DidYouMean(ref.String(), slices.Values(all)))
}

func (d *description) print(w io.Writer) error {
	if d.Sidecar != nil {
		d.printSidecar(w)
	}
	for _, rejection := range d.Rejections {
		fmt.Fprintf(w, "Rejected %s from %s:\n", rejection.Ref, rejection.Origin)
		for _, text := range rejection.Errors {
			fmt.Fprintf(w, "  %s\n", text)
		}
	}
	if d.Definition == nil {
		return nil
	}
	fmt.Fprintln(w, "Definition:")
	var definition bytes.Buffer
	err := printYAML(&definition, d.Definition)
	for line := range strings.Lines(definition.String()) {
		fmt.Fprint(w, "  "+line)
	}
	return err
}

func (d *description) printSidecar(w io.Writer) {
	s := d.Sidecar
	level, origin := s.Level, s.Origin
	if s.Stale {
		origin += " (stale)"
	}
	if len(s.Violations) > 0 {
		level += " (fails checks of the next level: " + strings.Join(s.Violations, ", ") + ")"
	}
	bases := texts(s.Inherits, func(base conf.ListedBase) string { return base.Ref + " (" + base.Origin + ")" })
	writeTable(w, [][]string{
		{"Ref:", s.Ref},
		{"Origin:", printable(origin)},
		{"Digest:", s.Digest},
		{"Pod Security level:", printable(level)},
		{"Allowed namespaces:", list(s.AllowedNamespaces)},
		{"Operating system:", s.OS},
		{"In jobs:", printable(s.InJobs)},
		{"Skips hostNetwork pods:", fmt.Sprint(s.SkipHostNetworkPods)},
		{"Images:", list(s.Images)},
		{"Inherits:", list(bases)},
		{"Inherited by:", list(d.InheritedBy)},
	})
	if len(s.Parameters) > 0 {
		fmt.Fprintln(w, "Parameters:")
		printParameters(w, s.Parameters)
	}
	for _, warning := range s.Warnings {
		fmt.Fprintf(w, "Warning: %s\n", warning)
	}
}

// list returns the elements of a list in one line.
func list(elements []string) string {
	return cmp.Or(printable(strings.Join(elements, ", ")), "none")
}

func printParameters(w io.Writer, parameters []conf.ListedParameter) {
	table := [][]string{{"  NAME", "TYPE", "DEFAULT", "FROM", "ALLOWED"}}
	for i := range parameters {
		p := &parameters[i]
		value := "(none)"
		if p.Default != nil {
			value = printable(cmp.Or(*p.Default, `""`))
		}
		table = append(table, []string{"  " + p.Name, p.Type, value, cmp.Or(p.From, "-"), allowedValues(p)})
	}
	writeTable(w, table)
}

// allowedValues returns the rules for the values of a parameter.
func allowedValues(p *conf.ListedParameter) string {
	var rules []string
	if p.Min != "" {
		rules = append(rules, "min "+p.Min)
	}
	if p.Max != "" {
		rules = append(rules, "max "+p.Max)
	}
	if len(p.Enum) > 0 {
		rules = append(rules, "one of "+strings.Join(p.Enum, ", "))
	}
	if p.Pattern != "" {
		rules = append(rules, "pattern "+p.Pattern)
	}
	return cmp.Or(printable(strings.Join(rules, "; ")), "any")
}
