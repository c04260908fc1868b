package cli

import (
	"cmp"
	"slices"
	"strings"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
)

// podName returns the kind, namespace and name of the object.
func (r *podResult) podName() string {
	return r.Kind + " " + printable(strings.TrimSuffix(r.namespace+"/"+r.name(), "/"))
}

// notes returns the warnings of the decision and the faults.
func (r *podResult) notes() []string {
	warnings := texts(r.decision.Warnings, func(warning string) string { return "warning: " + warning })
	faults := texts(r.faults, func(f fault) string { return "the API server would reject " + f.String() })
	return append(warnings, faults...)
}

// tables returns the values of parameters, without a caption, and the elements. If wide is set, they are in one table,
// otherwise in a table for each sidecar.
func (r *podResult) tables(wide bool) []table {
	var tables []table
	if len(r.decision.Parameters) > 0 {
		tables = append(tables, parameterTable(r.decision.Parameters))
	}
	switch {
	case len(r.elements) == 0:
		return tables
	case wide:
		return append(tables, wideTable(r.elements))
	}
	return append(tables, sidecarTables(r.elements)...)
}

func parameterTable(values []mutate.ParameterValue) table {
	t := table{Columns: []string{"Sidecar", "Parameter", "Value", "From"}}
	for _, v := range values {
		t.add(v.Sidecar.Ref.String(), v.Name, printable(cmp.Or(v.Value, `""`)), printable(v.Source))
	}
	return t
}

// wideTable returns a table of all elements in the order of merging.
func wideTable(elements []mutate.ElementResult) table {
	t := table{Columns: []string{"Field", "Name", "Container", "Sidecar", "Origin", "Result", "Why"}}
	for i := range elements {
		e := &elements[i]
		t.add(e.Field, printable(e.Name), containerName(e), e.Sidecar.Ref.String(), e.Sidecar.Origin.String(), resultOf(e),
			e.Why)
	}
	return t
}

// sidecarTables returns a table for each sidecar. Elements that differ only in their container share a row.
func sidecarTables(elements []mutate.ElementResult) []table {
	var sidecars []*conf.Sidecar
	for i := range elements {
		if !slices.Contains(sidecars, elements[i].Sidecar) {
			sidecars = append(sidecars, elements[i].Sidecar)
		}
	}
	tables := make([]table, len(sidecars))
	for i, sidecar := range sidecars {
		tables[i] = sidecarTable(sidecar, elements)
	}
	return tables
}

func sidecarTable(sidecar *conf.Sidecar, elements []mutate.ElementResult) table {
	t := table{
		Caption: sidecar.Ref.String() + " from " + sidecar.Origin.String(),
		Columns: []string{"Field", "Name", "Containers", "Result", "Why"},
	}
	rowOf := make(map[[4]string]int)
	for i := range elements {
		e := &elements[i]
		if e.Sidecar != sidecar {
			continue
		}
		key := [4]string{e.Field, e.Name, resultOf(e), e.Why}
		if row, found := rowOf[key]; found && e.List != "" {
			t.Rows[row][2] += ", " + containerName(e)
			continue
		}
		rowOf[key] = len(t.Rows)
		t.add(e.Field, printable(e.Name), containerName(e), resultOf(e), e.Why)
	}
	return t
}

func resultOf(e *mutate.ElementResult) string {
	if e.Added {
		return "added"
	}
	return "left"
}

// containerName returns the container of an element, or "" if it is an element of the pod.
func containerName(e *mutate.ElementResult) string {
	name := printable(e.Container)
	switch {
	case e.List == "":
		return ""
	case name == "":
		name = `""`
	}
	if e.List == "initContainers" {
		name += " (init)"
	}
	return name
}
