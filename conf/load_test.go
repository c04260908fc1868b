package conf_test

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-multierror"
	"github.com/rogpeppe/go-internal/txtar"

	"k8s-sidecar-injector/conf"
)

// TestLoad loads testdata/load/*.txtar. The files of an archive are
//
//	1/conf/a.yaml                a file of the first load
//	1/conf/sub/a.yaml            a base-only file
//	2/configmap/ns/name/key.yaml a key of a ConfigMap in the second load
//	2/configmap/ns/name@3/k.yaml a key of a ConfigMap that was created in second 3
//	2/conf/a.yaml unreadable     a file that cannot be read, with its error
//	want                         the result of each load; written by go test ./conf -update
func TestLoad(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("testdata", "load")
	for _, name := range inputs(t, dir, ".txtar", "") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(dir, name+".txtar")
			archive := txtar.Parse(readFile(t, path))
			archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { return f.Name == "want" })
			got := loadAll(t, archive)
			archive.Files = append(archive.Files, txtar.File{Name: "want", Data: []byte(got)})
			compareGolden(t, path, string(txtar.Format(archive)))
		})
	}
}

func loadAll(t *testing.T, archive *txtar.Archive) string {
	t.Helper()
	steps := make(map[string][]txtar.File)
	for _, f := range archive.Files {
		step, name, _ := strings.Cut(f.Name, "/")
		steps[step] = append(steps[step], txtar.File{Name: name, Data: f.Data})
	}
	var text strings.Builder
	var set *conf.Set
	for _, step := range slices.Sorted(maps.Keys(steps)) {
		documents := sourced(steps[step])
		next := conf.Load(documents, set)
		slices.Reverse(documents)
		if backwards := conf.Load(documents, set); !next.Equal(backwards) {
			t.Errorf("load %s depends on the order of its input: %s", step, cmp.Diff(show(next), show(backwards)))
		}
		if again := conf.Load(documents, next); !next.Equal(again) {
			t.Errorf("load %s differs when repeated: %s", step, cmp.Diff(show(next), show(again)))
		}
		set = next
		fmt.Fprintf(&text, "# load %s\n%s", step, show(set))
	}
	return text.String()
}

// sourced returns the documents of one load.
func sourced(list []txtar.File) []conf.Document {
	var documents []conf.Document
	for _, f := range list {
		name, unreadable := strings.CutSuffix(f.Name, " unreadable")
		source, name, _ := strings.Cut(name, "/")
		switch {
		case unreadable:
			documents = append(documents, conf.Unreadable(file(name, 0), errors.New(strings.TrimSpace(string(f.Data)))))
		case source == "configmap":
			place, second, _ := strings.Cut(path.Dir(name), "@")
			origin := conf.Origin{Kind: conf.ConfigMap, Root: place, Name: path.Base(name)}
			for _, d := range conf.Split(origin, f.Data) {
				if n, err := strconv.Atoi(second); err == nil {
					d.Created = atSecond(n)
				}
				documents = append(documents, d)
			}
		default:
			for _, d := range conf.Split(file(name, 0), f.Data) {
				d.BaseOnly = strings.Contains(name, "/")
				documents = append(documents, d)
			}
		}
	}
	return documents
}

// chain returns documents of which each inherits from the next one.
func chain(length int) []conf.Document {
	var list []conf.Document
	for i := range length {
		content := fmt.Sprintf("name: x:v%d\nenv:\n- {name: A%d, value: a}\n- {name: LAST, value: '%d'}\n", i, i, i)
		if i < length-1 {
			content += fmt.Sprintf("inherits: x:v%d\n", i+1)
		}
		list = append(list, documents(fmt.Sprintf("%03d.yaml", i), content)...)
	}
	return list
}

func TestDeepInheritance(t *testing.T) {
	t.Parallel()
	const depth = 50
	set := conf.Load(chain(depth), nil)
	if len(set.Sidecars) != depth || len(set.Rejections) != 0 {
		t.Fatalf("%d sidecars, want %d; rejections: %v", len(set.Sidecars), depth, set.Rejections)
	}
	deepest := set.Sidecars[slices.IndexFunc(set.Sidecars, func(s *conf.Sidecar) bool { return s.Ref.Version == "v0" })]
	var names []string
	for _, e := range deepest.Elements("env") {
		names = append(names, e.Name)
	}
	want := []string{"A49", "LAST"} // the deepest base's own come first
	for i := depth - 2; i >= 0; i-- {
		want = append(want, fmt.Sprintf("A%d", i))
	}
	if !slices.Equal(names, want) {
		t.Errorf("env is %q, want %q", names, want)
	}
	if last := string(deepest.Elements("env")[1].JSON); last != `{"name":"LAST","value":"0"}` {
		t.Errorf("the child's own value must win: %s", last)
	}
}

func TestLoadLeavesPreviousAlone(t *testing.T) {
	t.Parallel()
	first := func() []conf.Document {
		return slices.Concat(
			documents("base.yaml", "name: base\nenv: [{name: A, value: a}]\nhostAliases: [{ip: 10.0.0.1}]\n"),
			documents(
				"child.yaml",
				"name: child\ninherits: base\nenv: [{name: A, value: b}, {name: B}]\nhostAliases: [{ip: 10.0.0.2}]\n",
			),
			documents("bad.yaml", "name: bad\nenv: [{name: A B}]\n"),
		)
	}
	set, twin := conf.Load(first(), nil), conf.Load(first(), nil)
	second := slices.Concat(
		documents("base.yaml", "name: base\nenv: [{name: A B}]\n"),
		first()[1:],
	)
	if stale := conf.Load(second, set).Sidecars; len(stale) != 2 || !stale[0].Stale || !stale[1].Stale {
		t.Errorf("a child of a rejected base must be stale, too: %v", stale)
	}
	// Functions never compare as equal.
	noFuncs := cmp.FilterValues(
		func(a, b multierror.ErrorFormatFunc) bool { return (a == nil) == (b == nil) },
		cmp.Ignore(),
	)
	all := cmp.Exporter(func(reflect.Type) bool { return true })
	if diff := cmp.Diff(twin, set, noFuncs, all); diff != "" {
		t.Errorf("the previous set was changed (-want +got):\n%s", diff)
	}
}

func TestUnchangedIsNotParsedAgain(t *testing.T) {
	t.Parallel()
	load := func(previous *conf.Set, content string) *conf.Set {
		return conf.Load(slices.Concat(
			documents("same.yaml", "name: same\n---\nname: same:v2\n"),
			documents("other.yaml", content),
		), previous)
	}
	first := load(nil, "name: other\n")
	if before, after := conf.Results(first), conf.Results(load(first, "name: other\n")); !maps.Equal(before, after) {
		t.Errorf("documents with the same bytes were parsed again: %v, %v", before, after)
	}
	before, after := conf.Results(first), conf.Results(load(first, "name: other\nenv: []\n"))
	for origin, identity := range before {
		if changed := origin.Name == "other.yaml"; changed == (after[origin] == identity) {
			t.Errorf("%s: changed is %v, but it was parsed again is %v", origin, changed, after[origin] != identity)
		}
	}
	// Faults have lines, so a moved document is parsed again.
	moved := conf.Load(documents("same.yaml", "# pushed down\n---\nname: same\n---\nname: same:v2\n"), first)
	if origin := file("same.yaml", 1); conf.Results(moved)[origin] == before[origin] {
		t.Error("a document at another line was not parsed again")
	}
}

func digest(t *testing.T, set *conf.Set) string {
	t.Helper()
	for _, r := range set.Rejections {
		t.Error(r)
	}
	if len(set.Sidecars) != 1 {
		t.Fatalf("%d sidecars, want 1", len(set.Sidecars))
	}
	if got := set.Sidecars[0].Digest; len(got) != 64 || len(set.Digest) != 64 {
		t.Errorf("digests are not SHA-256 in hex: %q, %q", got, set.Digest)
	}
	return set.Sidecars[0].Digest + set.Digest
}

func TestDigest(t *testing.T) {
	t.Parallel()
	load := func(name, content string) string { return digest(t, conf.Load(documents(name, content), nil)) }
	want := load("a.yaml", "name: x:v1\nenv:\n- {name: A, value: a}\nhostPID: true\n")
	for what, same := range map[string]string{
		"origin":    load("b.yaml", "name: x:v1\nenv:\n- {name: A, value: a}\nhostPID: true\n"),
		"key order": load("a.yaml", "hostPID: true\nenv:\n- value: a\n  name: A\nname: x:v1\n"),
		"format":    load("a.yaml", "# comment\n{name: ' X:V1 ', 'hostPID': true, env: [{\"name\": A, 'value': \"a\"}]}\n"),
	} {
		if same != want {
			t.Errorf("the digest depends on the %s", what)
		}
	}
	for what, other := range map[string]string{
		"ref":   load("a.yaml", "name: x:v2\nenv:\n- {name: A, value: a}\nhostPID: true\n"),
		"value": load("a.yaml", "name: x:v1\nenv:\n- {name: A, value: b}\nhostPID: true\n"),
		"more":  load("a.yaml", "name: x:v1\nenv:\n- {name: A, value: a}\n- {name: B}\nhostPID: true\n"),
		"less":  load("a.yaml", "name: x:v1\nenv:\n- {name: A, value: a}\n"),
	} {
		if other == want {
			t.Errorf("the digest does not depend on the %s", what)
		}
	}
	quoted := load("a.yaml", `{name: "1.10", env: [{name: A, value: "60"}], labels: {"on": "yes"}}`)
	if plain := load("a.yaml", "{name: 1.10, env: [{name: A, value: 60}], labels: {on: yes}}"); plain != quoted {
		t.Error("the digest depends on quotes")
	}
	inherited := conf.Load(slices.Concat(
		documents("a.yaml", "name: x:v1\ninherits: base\nhostPID: true\n"),
		documents("base.yaml", "name: base\nenv:\n- {name: A, value: a}\n"),
	), nil)
	if got := inherited.Sidecars[1].Digest; got != want[:64] {
		t.Error("the digest depends on whether content was inherited")
	}
}

func TestEqual(t *testing.T) {
	t.Parallel()
	const good, bad = "name: x\n", "name: x\nenv: [{name: A B}]\n"
	set := conf.Load(documents("a.yaml", good), nil)
	rejected := conf.Load(documents("a.yaml", bad), nil)
	stale := conf.Load(documents("a.yaml", bad), set)
	for _, c := range []struct {
		name string
		a, b *conf.Set
		want bool
	}{
		{"both nil", nil, nil, true},
		{"one nil", set, nil, false},
		{"nil and empty", nil, &conf.Set{}, false},
		{"the same", set, set, true},
		{"loaded again", set, conf.Load(documents("a.yaml", good), set), true},
		{"format only", set, conf.Load(documents("a.yaml", "{name: X}"), nil), true},
		{"content", set, conf.Load(documents("a.yaml", good+"hostPID: true\n"), nil), false},
		{"origin", set, conf.Load(documents("b.yaml", good), nil), false},
		{"stale", set, stale, false},
		{"rejected and stale", rejected, stale, false},
		{"rejected alike", rejected, conf.Load(documents("a.yaml", bad), nil), true},
		{"rejected for another reason", rejected, conf.Load(documents("a.yaml", "name: x\nenvs: []\n"), nil), false},
		{"rejected elsewhere", rejected, conf.Load(documents("b.yaml", bad), nil), false},
		{"still stale", stale, conf.Load(documents("a.yaml", bad), stale), true},
	} {
		if got := c.a.Equal(c.b); got != c.want {
			t.Errorf("%s: Equal is %v", c.name, got)
		}
		if got := c.b.Equal(c.a); got != c.want {
			t.Errorf("%s, swapped: Equal is %v", c.name, got)
		}
	}
}

// Errors can be unwrapped, and are formatted in one line.
func TestErrors(t *testing.T) {
	t.Parallel()
	unreadable := errors.New("disk on fire")
	set := conf.Load([]conf.Document{
		conf.Unreadable(file("a.yaml", 3), unreadable),
		{Origin: file("b.yaml", 1), Content: []byte("name: [1]\nenv: 2\n"), Line: 5},
	}, nil)
	if len(set.Rejections) != 2 {
		t.Fatalf("%d rejections, want 2", len(set.Rejections))
	}
	if err := set.Rejections[0]; !errors.Is(err.Errors, unreadable) ||
		err.Errors.Error() != "file conf/a.yaml: disk on fire" {
		t.Errorf("got %v", err)
	}
	want := "file conf/b.yaml:5: name: Invalid value: must be a string, not a list; " +
		"file conf/b.yaml:6: env: Invalid value: must be a list, not a number"
	if got := set.Rejections[1].Errors.Error(); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	noFiles := conf.Load(documents("a.yaml", "name: x\ninherits: b.yaml\n"), nil)
	want = `file conf/a.yaml:2: inherits: Invalid value: the config directory has no file "b.yaml"`
	if len(noFiles.Rejections) != 1 || noFiles.Rejections[0].Errors.Error() != want {
		t.Errorf("got %v\nwant %s", noFiles.Rejections, want)
	}
	fault, ok := errors.AsType[*conf.Error](set.Rejections[1].Errors)
	if !ok || fault.Line != 5 || fault.Origin != file("b.yaml", 1) {
		t.Errorf("the first fault is %#v", fault)
	}
}

// Refs are ordered as their strings.
func TestCompareRefs(t *testing.T) {
	t.Parallel()
	var refs []conf.Ref
	for _, name := range []string{"", "a", "a-b", "a.b", "a0", "ab", "b"} {
		refs = append(refs, conf.Ref{Name: name, Version: "1"}, conf.Ref{Name: name, Version: "latest"})
	}
	for _, a := range refs {
		for _, b := range refs {
			if got, want := a.Compare(b), strings.Compare(a.String(), b.String()); got != want {
				t.Errorf("%s and %s: got %d, want %d", a, b, got, want)
			}
		}
	}
}
