package cli

import (
	"cmp"
	"fmt"
	"io"
	"path"
	"strings"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/conf/podrules"
)

// validateReport is the result of the validate command.
type validateReport struct {
	places places
	lines  map[conf.Origin]int // where documents begin

	loads   []*loadReport
	skipped []skippedObject

	seen                map[string]int // the load of each finding and definition
	rejected, documents map[conf.Origin]bool
	warnings            int
}

// loadReport has what one load found and no earlier one.
type loadReport struct {
	definitions      []validDefinition
	errors, warnings []finding
}

// validDefinition is a valid definition, in the JSON format of docs/validate.md. No field is omitted.
type validDefinition struct {
	Ref        string   `json:"ref"`
	Origin     string   `json:"origin"`
	File       string   `json:"file"`
	Line       int      `json:"line"`
	Level      string   `json:"level"`
	Violations []string `json:"violations"`
}

// finding is an error or a warning, in the JSON format of docs/validate.md. No field is omitted.
type finding struct {
	File    string `json:"file"`
	Line    int    `json:"line"` // from 1
	Origin  string `json:"origin"`
	Ref     string `json:"ref"`
	Field   string `json:"field"`
	Message string `json:"message"`

	text string
}

// newValidateReport returns a report that has the faults of manifests.
func newValidateReport(inputs *validateInputs) *validateReport {
	r := &validateReport{
		places: inputs.configMaps.places, skipped: inputs.configMaps.skipped,
		lines: make(map[conf.Origin]int), seen: make(map[string]int),
		rejected: make(map[conf.Origin]bool), documents: make(map[conf.Origin]bool),
	}
	first := new(loadReport)
	for _, fault := range inputs.configMaps.faults {
		r.documents[fault.Origin], r.rejected[fault.Origin] = true, true
		first.errors = r.find(first.errors, fault, conf.Ref{})
	}
	r.loads = append(r.loads, first)
	return r
}

// add adds the result of a load.
func (r *validateReport) add(d *configDirectory, set *conf.Set) {
	for _, document := range d.documents {
		r.lines[document.Origin] = document.Line
	}
	l := new(loadReport)
	for _, s := range set.Sidecars {
		if !d.reported[s.Origin] {
			continue
		}
		v := r.valid(s)
		if r.isNew(v.Origin + " " + v.Ref) {
			l.definitions = append(l.definitions, v)
		}
		for _, warning := range s.Warnings {
			l.warnings = r.find(l.warnings, warning, s.Ref)
		}
	}
	for _, rejection := range d.rejections(set) {
		r.rejected[rejection.Origin], r.documents[rejection.Origin] = true, true
		for _, err := range rejection.Errors.Errors {
			if fault, ok := err.(*conf.Error); ok { //nolint:errorlint // Rejection documents it
				l.errors = r.find(l.errors, fault, rejection.Ref)
			}
		}
	}
	for origin := range d.reported {
		r.documents[origin] = true
	}
	r.warnings += len(l.warnings)
	r.loads = append(r.loads, l)
}

func (r *validateReport) valid(s *conf.Sidecar) validDefinition {
	file, line := r.position(s.Origin, 0)
	return validDefinition{
		Ref: s.Ref.String(), Origin: s.Origin.String(), File: file, Line: line,
		Level: string(s.Level), Violations: append([]string{}, s.Violations...),
	}
}

// find appends the finding of an error unless an earlier load had it.
func (r *validateReport) find(findings []finding, err *conf.Error, ref conf.Ref) []finding {
	f := finding{Origin: err.Origin.String(), text: r.places.text(err, r.line(err.Origin, err.Line))}
	f.File, f.Line = r.position(err.Origin, err.Line)
	f.Field, f.Message = err.Split()
	if ref != (conf.Ref{}) {
		f.Ref = ref.String()
	}
	if !r.isNew(f.text) {
		return findings
	}
	return append(findings, f)
}

// isNew reports whether no earlier load had a finding or definition.
func (r *validateReport) isNew(text string) bool {
	if load, found := r.seen[text]; found {
		return load == len(r.loads)
	}
	r.seen[text] = len(r.loads)
	return true
}

// position returns the file and the line of a line of a document. Line 0 is the first line of the document.
func (r *validateReport) position(origin conf.Origin, line int) (string, int) {
	line = r.line(origin, line)
	if p, ok := r.places.of(origin); ok {
		return p.file, p.at(line)
	}
	return path.Join(origin.Root, origin.Name), line
}

func (r *validateReport) line(origin conf.Origin, line int) int {
	return max(1, cmp.Or(line, r.lines[origin]))
}

// err returns the error of the command.
func (r *validateReport) err(strict bool) error {
	if len(r.rejected) > 0 {
		return fmt.Errorf("documents that would be rejected: %d of %d", len(r.rejected), len(r.documents))
	}
	if r.warnings > 0 && strict {
		return fmt.Errorf("warnings, which --strict does not allow: %d", r.warnings)
	}
	return nil
}

func (r *validateReport) print(streams IOStreams, format string, valid bool) error {
	switch format {
	case outputJSON:
		return r.printJSON(streams.Out, valid)
	case outputSARIF:
		return r.printSARIF(streams.Out)
	}
	printSkipped(streams.ErrOut, r.skipped)
	for _, l := range r.loads {
		l.print(streams)
	}
	return nil
}

// print prints the valid definitions to standard output, and the findings to standard error.
func (l *loadReport) print(streams IOStreams) {
	stricter := map[string]podrules.Level{
		string(podrules.Privileged): podrules.Baseline, string(podrules.Baseline): podrules.Restricted,
	}
	for _, d := range l.definitions {
		fmt.Fprintf(streams.Out, "%s: %s is valid, needs Pod Security level %s", d.Origin, d.Ref, d.Level)
		if len(d.Violations) > 0 {
			fmt.Fprintf(streams.Out, " (not %s: %s)", stricter[d.Level], strings.Join(d.Violations, ", "))
		}
		fmt.Fprintln(streams.Out)
	}
	for _, warning := range l.warnings {
		fmt.Fprintf(streams.ErrOut, "warning: %s\n", warning.text)
	}
	for _, fault := range l.errors {
		fmt.Fprintln(streams.ErrOut, fault.text)
	}
}

// printJSON prints the report. No list is null.
func (r *validateReport) printJSON(w io.Writer, valid bool) error {
	definitions, errors, warnings := []validDefinition{}, []finding{}, []finding{}
	for _, l := range r.loads {
		definitions = append(definitions, l.definitions...)
		errors, warnings = append(errors, l.errors...), append(warnings, l.warnings...)
	}
	return printJSON(w, struct {
		Valid       bool              `json:"valid"`
		Definitions []validDefinition `json:"definitions"`
		Errors      []finding         `json:"errors"`
		Warnings    []finding         `json:"warnings"`
		Skipped     []skippedObject   `json:"skipped"`
	}{valid, definitions, errors, warnings, append([]skippedObject{}, r.skipped...)})
}
