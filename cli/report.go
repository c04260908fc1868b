package cli

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"k8s-sidecar-injector/inspect"
)

// reportOptions are the options of the report command.
type reportOptions struct {
	inspection inspectionOptions
	output     string
	commands   bool
	exitCode   bool
}

func newReport(streams IOStreams) *cobra.Command {
	o := new(reportOptions)
	command := &cobra.Command{
		Use:   "report",
		Short: "Report which running pods have outdated sidecars, or none",
		Long: "Compares the sidecars of the running pods with the definitions that the injector serves now, and prints a\n" +
			"row for each workload, sidecar and state. The state is current; outdated, if the next pod would get another\n" +
			"definition; missing, if the pod requests the sidecar and was not injected; removed, if the sidecar is not\n" +
			"served or not requested any more; or refused, if the next pod would not get it. The Deployment of the injector\n" +
			"is found in the cluster, and its flags decide which definitions are read. Nothing is changed.",
		Example: `  k8s-sidecar-injector report -A
  k8s-sidecar-injector report -n shop -l app=web -o json

  # Restart what is outdated or missing
  k8s-sidecar-injector report -n shop --commands | sh

  # In CI, fail if anything is outdated or missing
  k8s-sidecar-injector report -A --exit-code`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return o.run(command, streams) },
	}
	o.AddFlags(command)
	o.inspection.completeFlags(command, streams, o.inspection.Complete)
	return command
}

func (o *reportOptions) AddFlags(command *cobra.Command) {
	flags := command.Flags()
	o.inspection.AddFlags(flags)
	addOutput(flags, &o.output,
		outputTable+", "+outputWide+" (why sidecars are refused or removed), "+outputJSON+" or "+outputYAML,
		outputTable, outputWide, outputJSON, outputYAML)
	flags.BoolVar(&o.commands, "commands", false,
		"print only the commands that restart the workloads with outdated or missing sidecars")
	flags.BoolVar(&o.exitCode, "exit-code", false,
		"exit with 1 if a sidecar is outdated or missing, or if the report is incomplete")
}

// Complete validates all flags.
func (o *reportOptions) Complete(e *flagErrors) {
	o.inspection.Complete(e)
	checkOutput(e)
	if o.commands && e.flags.Changed("output") {
		e.addf("--commands and --output exclude each other")
	}
}

func (o *reportOptions) run(command *cobra.Command, streams IOStreams) error {
	e := readEnvironment(command.Flags(), streams.Getenv)
	o.Complete(e)
	if err := e.err(); err != nil {
		return err
	}
	in, err := o.inspection.newInspection(command.Context(), e, streams.ErrOut)
	if err != nil {
		return err
	}
	hide := showProgress(in.client, streams.ErrOut)
	report, err := in.client.Report(command.Context(), in.snapshot, in.settings, inspect.Query{
		Namespace: o.inspection.namespace, Labels: o.inspection.selector, LastValidUnknown: in.lastValidUnknown,
		Rollouts: o.commands,
	})
	hide()
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := o.print(&text, report.Rows); err != nil {
		return err
	}
	if _, err := streams.Out.Write(text.Bytes()); err != nil {
		return err
	}
	for _, err := range report.Unread {
		reportf(streams.ErrOut, "not read: %v\n", err)
	}
	if len(report.Rows) == 0 {
		fmt.Fprintf(streams.ErrOut, "no pod in %s requests a sidecar or has one\n", o.inspection.scope())
	}
	if o.exitCode {
		return checkReport(report)
	}
	return nil
}

// showProgress shows the number of pods on a terminal while they are read. The result hides it.
func showProgress(client *inspect.Client, w io.Writer) (hide func()) {
	if !isTerminal(w) {
		return func() {}
	}
	const clearLine = "\r\x1b[K"
	client.Progress = func(pods int) { fmt.Fprintf(w, "%s%d pods read", clearLine, pods) }
	return func() { fmt.Fprint(w, clearLine) }
}

// checkReport returns an error if pods have to be restarted, or if pods were not read.
func checkReport(report *inspect.Report) error {
	type workload struct{ namespace, apiVersion, kind, name string }
	found := make(map[workload]bool)
	for _, r := range report.Rows {
		if r.NeedsRestart() {
			found[workload{r.Namespace, r.APIVersion, r.Kind, r.Workload}] = true
		}
	}
	if len(found) > 0 {
		return fmt.Errorf("workloads with outdated or missing sidecars: %d", len(found))
	}
	if len(report.Unread) > 0 {
		return errors.New("the report is incomplete")
	}
	return nil
}

func (o *reportOptions) print(w io.Writer, rows []inspect.Row) error {
	switch {
	case o.commands:
		o.inspection.printRestarts(w, rows)
	case o.output == outputJSON:
		return printJSON(w, map[string]any{"items": rows})
	case o.output == outputYAML:
		return printYAML(w, map[string]any{"items": rows})
	default:
		printReport(w, rows, o.output == outputWide)
	}
	return nil
}

func printReport(w io.Writer, rows []inspect.Row, wide bool) {
	table := [][]string{{"NAMESPACE", "WORKLOAD", "PODS", "SIDECAR", "STATE", "RUNNING", "SERVED"}}
	if wide {
		table[0] = append(table[0], "WHY")
	}
	for _, r := range rows {
		state := string(r.State)
		if r.Reason != "" {
			state += ": " + string(r.Reason)
		}
		row := []string{
			printable(r.Namespace), printable(r.Kind + "/" + r.Workload), strconv.Itoa(r.Pods), printable(r.Sidecar),
			state, printable(cmp.Or(r.Running, "-")), cmp.Or(r.Served, "-"),
		}
		if wide {
			row = append(row, printable(r.Message))
		}
		table = append(table, row)
	}
	writeTable(w, table)
}
