package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"k8s-sidecar-injector/mutate"
)

// explanation is the decision for one pod, in the JSON format of docs/configuration.md. No field is omitted.
type explanation struct {
	Kind      string             `json:"kind"`
	Namespace string             `json:"namespace"`
	Name      string             `json:"name"`
	Outcome   mutate.Outcome     `json:"outcome"`
	Reason    mutate.Reason      `json:"reason"`
	Message   string             `json:"message"`
	Sidecars  []explainedSidecar `json:"sidecars"`
	Faults    []fault            `json:"faults"`
	Elements  []explainedElement `json:"elements"`

	injections string // the Sidecars, for the table
}

type explainedSidecar struct {
	Ref    string `json:"ref"`
	Digest string `json:"digest"`
	Origin string `json:"origin"`
}

type explainedElement struct {
	Field     string `json:"field"`
	Name      string `json:"name"`
	List      string `json:"list"`
	Container string `json:"container"`
	Sidecar   string `json:"sidecar"`
	Origin    string `json:"origin"`
	Added     bool   `json:"added"`
	Why       string `json:"why"`
}

// newExplanation returns an explanation without a name, a message and faults.
func newExplanation(decision *mutate.Decision, elements []mutate.ElementResult) explanation {
	x := explanation{
		Outcome: decision.Outcome, Reason: decision.Reason,
		Sidecars:   make([]explainedSidecar, len(decision.Sidecars)),
		Faults:     []fault{},
		Elements:   make([]explainedElement, len(elements)),
		injections: mutate.Injections(decision.Sidecars),
	}
	for i, s := range decision.Sidecars {
		x.Sidecars[i] = explainedSidecar{Ref: s.Ref.String(), Digest: s.Digest, Origin: s.Origin.String()}
	}
	for i := range elements {
		e := &elements[i]
		x.Elements[i] = explainedElement{
			Field: e.Field, Name: e.Name, List: e.List, Container: e.Container,
			Sidecar: e.Sidecar.Ref.String(), Origin: e.Sidecar.Origin.String(), Added: e.Added, Why: e.Why,
		}
	}
	return x
}

// formatExplanationJSON escapes characters that are not printable, such as terminal escape sequences. Only strings
// contain them.
func formatExplanationJSON(explanations []explanation) ([]byte, error) {
	text, err := json.MarshalIndent(struct {
		Items []explanation `json:"items"`
	}{append([]explanation{}, explanations...)}, "", "  ")
	if err != nil {
		return nil, err
	}
	safe := make([]byte, 0, len(text)+1)
	for _, r := range string(text) {
		if r == '\n' || unicode.IsPrint(r) {
			safe = utf8.AppendRune(safe, r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			safe = fmt.Appendf(safe, `\u%04x`, unit)
		}
	}
	return append(safe, '\n'), nil
}

// formatExplanationTable returns a heading, the faults and a table of the elements for each pod.
func formatExplanationTable(explanations []explanation) ([]byte, error) {
	var output bytes.Buffer
	for i := range explanations {
		if i > 0 {
			output.WriteByte('\n')
		}
		x := &explanations[i]
		fmt.Fprintln(&output, x.heading())
		for _, f := range x.Faults {
			fmt.Fprintf(&output, "the API server would reject %s\n", f)
		}
		if err := x.writeTable(&output); err != nil {
			return nil, err
		}
	}
	return output.Bytes(), nil
}

// heading returns a line such as `Deployment default/web: injected, injected: logger:v1@0123456789ab`.
func (x *explanation) heading() string {
	name := printable(strings.TrimSuffix(x.Namespace+"/"+x.Name, "/"))
	text := fmt.Sprintf("%s %s: %s, %s", x.Kind, name, x.Outcome, x.Reason)
	if x.injections != "" {
		text += ": " + x.injections
	}
	if x.Message != "" {
		text += ": " + x.Message
	}
	return text
}

func (x *explanation) writeTable(output io.Writer) error {
	if len(x.Elements) == 0 {
		return nil
	}
	var aligned bytes.Buffer
	table := tabwriter.NewWriter(&aligned, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "FIELD\tNAME\tCONTAINER\tSIDECAR\tORIGIN\tRESULT\tWHY")
	for i := range x.Elements {
		e := &x.Elements[i]
		result := "left"
		if e.Added {
			result = "added"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
			e.Field, printable(e.Name), e.containerName(), e.Sidecar, e.Origin, result, e.Why)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(aligned.String()) {
		fmt.Fprintln(output, strings.TrimRight(line, " \n"))
	}
	return nil
}

// containerName returns the container of an element, or "" if it is an element of the pod.
func (e *explainedElement) containerName() string {
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
