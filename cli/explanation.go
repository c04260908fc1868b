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

// table prints a heading for each pod and below it a line for each fault and each element.
func (e *explainer) table() ([]byte, error) {
	var output bytes.Buffer
	for i := range e.all {
		if i > 0 {
			output.WriteByte('\n')
		}
		x := &e.all[i]
		fmt.Fprintln(&output, x.heading())
		for _, f := range x.faults {
			fmt.Fprintf(&output, "the API server would reject %s\n", f)
		}
		if len(x.elements) == 0 {
			continue
		}
		if err := x.table(&output); err != nil {
			return nil, err
		}
	}
	return output.Bytes(), nil
}

// heading is such as `Deployment default/web: injected, injected: logger:v1@0123456789ab`.
func (x *explanation) heading() string {
	text := fmt.Sprintf("%s %s: %s, %s", x.kind, printable(strings.TrimSuffix(x.namespace+"/"+x.name, "/")), x.decision.Outcome, x.decision.Reason)
	if len(x.decision.Sidecars) > 0 {
		text += ": " + mutate.Injections(x.decision.Sidecars)
	}
	if x.message != "" {
		text += ": " + x.message
	}
	return text
}

func (x *explanation) table(output io.Writer) error {
	var aligned bytes.Buffer
	table := tabwriter.NewWriter(&aligned, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "FIELD\tNAME\tCONTAINER\tSIDECAR\tORIGIN\tRESULT\tWHY")
	for i := range x.elements {
		c := &x.elements[i]
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", c.Field, printable(c.Name), container(c),
			c.Sidecar.Ref, c.Sidecar.Origin, result(c), c.Why)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(aligned.String()) {
		fmt.Fprintln(output, strings.TrimRight(line, " \n"))
	}
	return nil
}

// container is the one that an element was to go into; empty where that is the pod.
func container(c *mutate.ElementResult) string {
	name := printable(c.Container)
	switch {
	case c.List == "":
		return ""
	case name == "":
		name = `""`
	}
	if c.List == "initContainers" {
		name += " (init)"
	}
	return name
}

func result(c *mutate.ElementResult) string {
	if c.Added {
		return "added"
	}
	return "left"
}

// The JSON form, which docs/configuration.md describes. All fields are always there.
type explanationList struct {
	Items []explainedPod `json:"items"`
}

type explainedPod struct {
	Kind      string             `json:"kind"`
	Namespace string             `json:"namespace"`
	Name      string             `json:"name"`
	Outcome   mutate.Outcome     `json:"outcome"`
	Reason    mutate.Reason      `json:"reason"`
	Message   string             `json:"message"`
	Sidecars  []explainedSidecar `json:"sidecars"`
	Faults    []fault            `json:"faults"`
	Elements  []explainedElement `json:"elements"`
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

func (e *explainer) json() ([]byte, error) {
	list := explanationList{Items: make([]explainedPod, len(e.all))}
	for i := range e.all {
		list.Items[i] = e.all[i].item()
	}
	text, err := json.MarshalIndent(list, "", "  ")
	return append(escaped(text), '\n'), err
}

// escaped is JSON without the characters that would do something to a terminal. They can only be
// in strings.
func escaped(text []byte) []byte {
	safe := make([]byte, 0, len(text))
	for _, r := range string(text) {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			safe = utf8.AppendRune(safe, r)
		default:
			for _, unit := range utf16.AppendRune(nil, r) {
				safe = fmt.Appendf(safe, `\u%04x`, unit)
			}
		}
	}
	return safe
}

func (x *explanation) item() explainedPod {
	pod := explainedPod{
		Kind: x.kind, Namespace: x.namespace, Name: x.name,
		Outcome: x.decision.Outcome, Reason: x.decision.Reason, Message: x.message,
		Sidecars: []explainedSidecar{}, Faults: append([]fault{}, x.faults...), Elements: make([]explainedElement, len(x.elements)),
	}
	for _, s := range x.decision.Sidecars {
		pod.Sidecars = append(pod.Sidecars, explainedSidecar{Ref: s.Ref.String(), Digest: s.Digest, Origin: s.Origin.String()})
	}
	for i := range x.elements {
		c := &x.elements[i]
		pod.Elements[i] = explainedElement{
			Field: c.Field, Name: c.Name, List: c.List, Container: c.Container,
			Sidecar: c.Sidecar.Ref.String(), Origin: c.Sidecar.Origin.String(), Added: c.Added, Why: c.Why,
		}
	}
	return pod
}
