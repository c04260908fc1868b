package cli

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/inspect"
	"k8s-sidecar-injector/store"
)

// errorIsTwo is the annotation of commands whose exit code is 2 after an error, and 1 for differences.
const errorIsTwo = "error-is-two"

// errDifferent is the result of the diff command if there are differences. They are printed already.
var errDifferent = errors.New("the definitions differ")

// diffOptions are the options of the diff command.
type diffOptions struct {
	inspection inspectionOptions
	recursive  bool
	output     string
	showValues bool
}

func newDiff(streams IOStreams) *cobra.Command {
	o := &diffOptions{inspection: inspectionOptions{clusterOptional: true}}
	command := &cobra.Command{
		Use:   "diff PATH...|-",
		Short: "Show what changed definitions would add, change, remove or reject, and for which pods",
		Long: "Compares the definitions that the injector serves with those that it would serve after a change. A\n" +
			"directory of definitions replaces the config directory, and a ConfigMap among manifests the one of the\n" +
			"same namespace and name; others stay. With the definitions, it prints the workloads whose next\n" +
			"pods would differ from those of now. Values of environment variables are compared and hidden. As of kubectl\n" +
			"diff, the exit code is 0 without differences, 1 with some, and 2 after an error. With only\n" +
			"--config-directory, that directory is compared.",
		Example: `  k8s-sidecar-injector diff conf/
  kustomize build . | k8s-sidecar-injector diff -
  k8s-sidecar-injector diff new/ --config-directory=old/ -o json`,
		Args: func(_ *cobra.Command, paths []string) error {
			if len(paths) == 0 {
				return errors.New("no PATH; want a config directory, manifests of ConfigMaps, or - for standard input")
			}
			return nil
		},
		Annotations: map[string]string{errorIsTwo: "true"},
		RunE:        func(command *cobra.Command, paths []string) error { return o.run(command, streams, paths) },
	}
	flags := command.Flags()
	flags.StringVarP(&o.inspection.namespace, "namespace", "n", "", "namespace of the pods (default all)")
	flags.StringVarP(&o.inspection.selector, "selector", "l", "", "label selector of the pods")
	flags.BoolVarP(&o.recursive, "recursive", "R", false, "also read each directory below a directory, except hidden ones")
	flags.BoolVar(&o.showValues, "show-values", false, "show the values of environment variables")
	addOutput(flags, &o.output, outputText+", "+outputJSON+" or "+outputYAML, outputText, outputJSON, outputYAML)
	o.inspection.AddInstallationFlags(flags)
	o.inspection.completeFlags(command, streams, o.inspection.Complete)
	return command
}

func (o *diffOptions) run(command *cobra.Command, streams IOStreams, paths []string) error {
	e := readEnvironment(command.Flags(), streams.Getenv)
	o.inspection.allNamespaces = o.inspection.namespace == ""
	o.inspection.Complete(e)
	checkOutput(e)
	if err := e.err(); err != nil {
		return err
	}
	in, _, err := o.inspection.loadInspection(command.Context(), e, io.Discard)
	if err != nil {
		return err
	}
	running, next, err := o.load(command.Context(), in, streams, paths)
	if err != nil {
		return err
	}
	d := newDifference(in.snapshot, running, next, o.showValues)
	if in.client != nil && !d.empty() {
		d.Workloads = o.compareWorkloads(command.Context(), in, running, next, streams.ErrOut)
	}
	var page bytes.Buffer
	if o.output == outputText {
		d.print(&page)
	} else if err := printValue(&page, o.output, d); err != nil {
		return err
	}
	if _, err := streams.Out.Write(page.Bytes()); err != nil {
		return err
	}
	if d.empty() {
		return nil
	}
	return errDifferent
}

// load returns the snapshot of now and that of after the change. A rejected document keeps its last valid version, as
// in the daemon.
func (o *diffOptions) load(
	ctx context.Context, in *inspection, streams IOStreams, paths []string,
) (running, next *store.Snapshot, err error) {
	inputs, err := o.readInputs(ctx, in.settings, streams, paths)
	if err != nil {
		return nil, nil, err
	}
	before, after := inputs.replace(in.documents)
	old, err := in.settings.Rules.Load(ctx, before, nil)
	if err != nil {
		return nil, nil, err
	}
	changed, err := in.settings.Rules.Load(ctx, after, old)
	if err != nil {
		return nil, nil, err
	}
	return published(old), published(changed), nil
}

func published(set *conf.Set) *store.Snapshot {
	s := new(store.Store)
	s.Publish(set)
	return s.Current()
}

// compareWorkloads returns the rows of a report that the change adds or changes. It reports objects that it cannot
// read.
func (o *diffOptions) compareWorkloads(
	ctx context.Context, in *inspection, running, next *store.Snapshot, report io.Writer,
) []inspect.Row {
	query := inspect.Query{Namespace: o.inspection.namespace, Labels: o.inspection.selector}
	before, err := in.client.Report(ctx, running, in.settings, query)
	after := new(inspect.Report)
	if err == nil {
		after, err = in.client.Report(ctx, next, in.settings, query)
	}
	if err != nil {
		reportf(report, "not read: %v\n", err)
		return []inspect.Row{}
	}
	for _, err := range after.Unread {
		reportf(report, "not read: %v\n", err)
	}
	known := make(map[inspect.Row]bool, len(before.Rows))
	for _, row := range before.Rows {
		known[nextPod(row)] = true
	}
	rows := []inspect.Row{}
	for _, row := range after.Rows {
		if !known[nextPod(row)] {
			rows = append(rows, row)
		}
	}
	return rows
}

// nextPod returns the parts of a row that differ if the next pod differs.
func nextPod(row inspect.Row) inspect.Row {
	row.Pods, row.Message = 0, ""
	if row.State == inspect.Refused || row.State == inspect.Removed {
		row.Served = ""
	}
	return row
}
