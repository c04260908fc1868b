package mutate_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"k8s-sidecar-injector/mutate"
)

// TestDocs runs the examples in the pages on the sidecar format. The first line of each YAML block
// is a comment with its kind:
//
//	# definition  valid sidecars; or a text block with their errors follows
//	# pod         a pod that requests the sidecars above; its result follows
//	# result      the changes to the pod: merged into the pod, they result in the injected pod.
//	              List elements are merged by name. The annotations of every injected pod may be
//	              omitted
//
// A text block after a pod has outcome, reason and message, with arbitrary line breaks. Console
// blocks are ignored. Any other block is an error. With -update, wrong results are rewritten. TestDocs
// of package conf writes the same pages: to update both, run go test -p 1 ./conf ./mutate -update.
func TestDocs(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("../docs/format/*.md")
	if err != nil || paths == nil {
		t.Fatal(paths, err)
	}
	for _, path := range append(paths, "../docs/sidecar-format.md") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			runPage(t, path)
		})
	}
}

func runPage(t *testing.T, path string) {
	t.Helper()
	page := newPage(read(t, path))
	for page.more() {
		runExample(t, page)
	}
	if page.changed && !t.Failed() {
		if err := os.WriteFile(path, []byte(page.text()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// runExample runs the next block and compares its result.
func runExample(t *testing.T, page *page) {
	t.Helper()
	switch b := page.next(); b.kind {
	case "definition":
		page.definition = b
		runDefinition(t, page)
	case "pod":
		runPod(t, page, b)
	case "console":
	default:
		t.Fatalf("line %d: unexpected block (%s)", b.line, b.kind)
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
		page.compareText(t, page.next(), wrap(faults.String()))
	} else if rejected != nil {
		t.Fatalf("line %d: %s", page.definition.line, faults.String())
	}
}

func runPod(t *testing.T, page *page, pod *block) {
	t.Helper()
	if !page.more() {
		t.Fatalf("line %d: the pod has no result", pod.line)
	}
	object, err := yaml.YAMLToJSONStrict([]byte(pod.content))
	if err != nil {
		t.Fatalf("line %d: %v", pod.line, err)
	}
	snapshot := load(t, []byte(page.definition.content))
	c := &testCase{policy: defaultPolicy(), object: object, request: createRequest()}
	if namespace, _ := member(parse(t, object), "metadata", "namespace").(string); namespace != "" {
		c.request["namespace"] = namespace
	}
	decision := decide(t, snapshot, c.policy, c.with(t, object))
	expected := page.next()
	if decision.Outcome != mutate.Injected {
		if expected.kind != "text" {
			t.Fatalf("line %d: want a text block: %s", expected.line, text(&decision))
		}
		page.compareText(t, expected, wrap(text(&decision)))
		return
	}
	if expected.kind != "result" {
		t.Fatalf("line %d: want a result: the pod is injected", expected.line)
	}
	injected := apply(t, object, decision.Patch)
	c.checkSecondReview(t, snapshot, injected)
	page.compareResult(t, expected, parse(t, object), parse(t, injected))
}

// compareText compares a block with a text, except for line breaks.
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
		annotations, _ := member(after, "metadata", "annotations").(map[string]any)
		path := []string{"metadata", "annotations", key}
		if member(shown, path...) == nil && member(before, path...) == nil {
			delete(annotations, key)
		}
	}
	if reflect.DeepEqual(overlaid(before, shown), after) {
		return
	}
	want, err := yaml.Marshal(changes(before, after))
	if err != nil {
		t.Fatal(err)
	}
	p.wrong(t, b, "# result\n"+string(want))
}

// wrong reports or replaces a block.
func (p *page) wrong(t *testing.T, b *block, want string) {
	t.Helper()
	if !*update {
		t.Errorf("line %d: the page has\n%s\nbut it should have\n%s", b.line, b.content, want)
		return
	}
	p.replace(b, want)
}

// wrap breaks long lines.
func wrap(text string) string {
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

// member returns the value at a path of keys, or nil.
func member(value any, path ...string) any {
	for _, key := range path {
		object, _ := value.(map[string]any)
		value = object[key]
	}
	return value
}

// overlaid merges a value into another one.
func overlaid(under, over any) any {
	switch over := over.(type) {
	case map[string]any:
		if under, ok := under.(map[string]any); ok {
			both := maps.Clone(under)
			for key, value := range over {
				both[key] = overlaid(under[key], value)
			}
			return both
		}
	case []any:
		list := slices.Clone(over)
		for i, element := range over {
			if same := sameName(under, element); same != nil {
				list[i] = overlaid(same, element)
			}
		}
		return list
	}
	return over
}

// changes returns what overlaid must merge into before for a result of after.
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
			if same := sameName(before, element); same != nil {
				differ, _ := changes(same, element).(map[string]any)
				differ["name"] = member(element, "name")
				list[i] = differ
			}
		}
		return list
	}
	return after
}

// sameName returns the element of a list with the same name as like, or nil.
func sameName(list, like any) any {
	elements, _ := list.([]any)
	name := member(like, "name")
	at := slices.IndexFunc(elements, func(e any) bool { return name != nil && member(e, "name") == name })
	if at < 0 {
		return nil
	}
	return elements[at]
}
