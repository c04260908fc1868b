package mutate_test

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"k8s-sidecar-injector/mutate"
)

// TestDocs runs the examples of the page on the sidecar format. The first line of each block of
// YAML says what it is:
//
//	# definition  sidecars, which load; or a block of text with their errors comes next
//	# pod         a pod that asks for those above; what comes out of it comes next
//	# result      what changes of the pod: laid over it, this gives the injected one. Elements of
//	              a list with names are laid over those of the same name. The annotations that
//	              every injected pod gets may be left out
//
// A block of text after a pod is outcome, reason and message, in lines of any length. Blocks of
// console are passed over, and any other is an error. With -update, what is not right is written
// anew.
func TestDocs(t *testing.T) {
	t.Parallel()
	const path = "../docs/sidecar-format.md"
	page := newPage(read(t, path))
	for page.more() {
		runExample(t, page)
	}
	if page.examples == 0 {
		t.Error("the page has no examples")
	}
	if page.changed && !t.Failed() {
		if err := os.WriteFile(path, []byte(page.text()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// runExample runs the next block, and compares what stands behind it.
func runExample(t *testing.T, page *page) {
	t.Helper()
	switch b := page.next(); b.kind {
	case "definition":
		page.definition = b
		runDefinition(t, page)
	case "pod":
		page.examples++
		runPod(t, page, b)
	case "console":
	default:
		t.Fatalf("line %d: nothing asks for this block (%s)", b.line, b.kind)
	}
}

func runDefinition(t *testing.T, page *page) {
	t.Helper()
	_, rejected := tryLoad([]byte(page.definition.content))
	var faults strings.Builder
	for _, r := range rejected {
		for _, err := range r.Errors.Errors {
			fmt.Fprintln(&faults, err)
		}
	}
	if page.more() && page.peek().kind == "text" {
		page.examples++
		page.compareText(t, page.next(), wrapped(faults.String()))
	} else if rejected != nil {
		t.Fatalf("line %d: %s", page.definition.line, faults.String())
	}
}

func runPod(t *testing.T, page *page, pod *block) {
	t.Helper()
	if !page.more() {
		t.Fatalf("line %d: nothing comes out of this pod", pod.line)
	}
	object, err := yaml.YAMLToJSONStrict([]byte(pod.content))
	if err != nil {
		t.Fatalf("line %d: %v", pod.line, err)
	}
	snapshot := load(t, []byte(page.definition.content))
	c := &testCase{policy: usual(), object: object, request: creation()}
	if namespace, _ := member(parse(t, object), "metadata", "namespace").(string); namespace != "" {
		c.request["namespace"] = namespace
	}
	decision := decide(t, snapshot, c.policy, c.with(t, object))
	expected := page.next()
	if decision.Outcome != mutate.Injected {
		if expected.kind != "text" {
			t.Fatalf("line %d: want a block of text: %s", expected.line, text(&decision))
		}
		page.compareText(t, expected, wrapped(text(&decision)))
		return
	}
	if expected.kind != "result" {
		t.Fatalf("line %d: want a result: the pod is injected", expected.line)
	}
	injected := apply(t, object, decision.Patch)
	c.secondPass(t, snapshot, injected)
	page.compareResult(t, expected, parse(t, object), parse(t, injected))
}

// compareText holds a block against a text. Where its lines are broken does not matter.
func (p *page) compareText(t *testing.T, b *block, want string) {
	t.Helper()
	if !slices.Equal(strings.Fields(b.content), strings.Fields(want)) {
		p.wrong(t, b, want)
	}
}

func (p *page) compareResult(t *testing.T, b *block, before, after any) {
	t.Helper()
	shown := parse(t, []byte(b.content))
	for _, key := range []string{"status", "injected"} {
		key = "injector.tumblr.com/" + key
		if annotations, _ := member(after, "metadata", "annotations").(map[string]any); member(shown, "metadata", "annotations", key) == nil {
			delete(annotations, key)
		}
	}
	if reflect.DeepEqual(laid(before, shown), after) {
		return
	}
	want, err := yaml.Marshal(changes(before, after))
	if err != nil {
		t.Fatal(err)
	}
	p.wrong(t, b, "# result\n"+string(want))
}

// wrong reports a block, or writes it anew.
func (p *page) wrong(t *testing.T, b *block, want string) {
	t.Helper()
	if !*update {
		t.Errorf("line %d: the page has\n%s\nbut it should have\n%s", b.line, b.content, want)
		return
	}
	p.replace(b, want)
}

// wrapped breaks lines that are too long to read.
func wrapped(text string) string {
	const most = 140
	var out strings.Builder
	for line := range strings.Lines(text) {
		width := 0
		for i, word := range strings.Split(line, " ") {
			separator := " "
			if width += len(word) + 1; i > 0 && width > most {
				separator, width = "\n  ", len(word)
			}
			if i > 0 {
				out.WriteString(separator)
			}
			out.WriteString(word)
		}
	}
	return out.String()
}

func parse(t *testing.T, content []byte) any {
	t.Helper()
	var value any
	if err := yaml.UnmarshalStrict(content, &value); err != nil {
		t.Fatalf("%v: %s", err, content)
	}
	return value
}

// member walks down objects; it gives nil where a key is missing.
func member(value any, path ...string) any {
	for _, key := range path {
		object, _ := value.(map[string]any)
		value = object[key]
	}
	return value
}

// laid lays a value over another one.
func laid(under, over any) any {
	switch over := over.(type) {
	case map[string]any:
		if under, ok := under.(map[string]any); ok {
			both := maps.Clone(under)
			for key, value := range over {
				both[key] = laid(under[key], value)
			}
			return both
		}
	case []any:
		list := slices.Clone(over)
		for i, element := range over {
			if same := named(under, element); same != nil {
				list[i] = laid(same, element)
			}
		}
		return list
	}
	return over
}

// changes gives what laid over the one value gives the other.
func changes(before, after any) any {
	switch after := after.(type) {
	case map[string]any:
		if before, ok := before.(map[string]any); ok {
			differ := make(map[string]any)
			for key, value := range after {
				if !reflect.DeepEqual(before[key], value) {
					differ[key] = changes(before[key], value)
				}
			}
			return differ
		}
	case []any:
		list := slices.Clone(after)
		for i, element := range after {
			if same := named(before, element); same != nil {
				differ, _ := changes(same, element).(map[string]any)
				differ["name"] = member(element, "name")
				list[i] = differ
			}
		}
		return list
	}
	return after
}

// named is the element of a list that has the name of another one, or nil.
func named(list, like any) any {
	elements, _ := list.([]any)
	name := member(like, "name")
	at := slices.IndexFunc(elements, func(e any) bool { return name != nil && member(e, "name") == name })
	if at < 0 {
		return nil
	}
	return elements[at]
}
