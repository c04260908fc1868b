package conf_test

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"k8s-sidecar-injector/conf"
)

func TestSplit(t *testing.T) {
	t.Parallel()
	type piece struct {
		text string
		line int
	}
	for _, c := range []struct {
		name, content string
		want          []piece
	}{
		{"one", "a: 1\n", []piece{{"a: 1\n", 1}}},
		{"no newline", "a: 1", []piece{{"a: 1", 1}}},
		{"two", "a: 1\n---\nb: 2\n", []piece{{"a: 1\n", 1}, {"\nb: 2\n", 2}}},
		{"crlf", "a: 1\r\n---\r\nb: 2\r\n", []piece{{"a: 1\r\n", 1}, {"\r\nb: 2\r\n", 2}}},
		{"text on the line", "--- {a: 1}\n---\t{b: 2}", []piece{{"{a: 1}\n", 1}, {"{b: 2}", 2}}},
		{"comment on the line", "--- # one\na: 1\n", []piece{{"# one\na: 1\n", 1}}},
		{"empty ones", "---\n---\n \n# c\n%YAML 1.2\n---\na: 1\n---\n", []piece{{"\na: 1\n", 6}}},
		{"only looks so", "----\n ---\n---a\n", []piece{{"----\n ---\n---a\n", 1}}},
		{"end mark", "a: 1\n...\nb: 2\n... \n---\nc: 3\n", []piece{{"a: 1\n", 1}, {"b: 2\n", 3}, {"\nc: 3\n", 5}}},
		{"end mark last", "a: 1\n...", []piece{{"a: 1\n", 1}}},
		{"byte order mark", "\ufeff---\na: 1\n", []piece{{"\na: 1\n", 1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var got []piece
			for i, d := range conf.Split(file("a.yaml", 0), []byte(c.content)) {
				got = append(got, piece{string(d.Content), d.Line})
				if d.Err != nil || d.Origin != file("a.yaml", i) {
					t.Errorf("document %d is %+v", i, d)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestSplitNothing(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"", "\n", " \t\r\n", "---", "# c\n---\n...\n", "\ufeff", "%YAML 1.2\n"} {
		got := conf.Split(file("a.yaml", 0), []byte(content))
		if len(got) != 1 || got[0].Err == nil || got[0].Content != nil || got[0].Origin != file("a.yaml", 0) {
			t.Errorf("%q gives %+v", content, got)
		}
	}
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{
		"a.yaml":     {Data: []byte("name: a\n---\nname: a:v2\n")},
		"b.yml":      {Data: []byte("name: b\n")},
		"c.json":     {Data: []byte("name: c\n")},
		".d.yaml":    {Data: []byte("name: d\n")},
		"e.yaml/f":   {Data: []byte("name: e\n")},
		"sub/g.yaml": {Data: []byte("name: g\n")},
	}
	got, err := conf.Documents(files, "here")
	if err != nil {
		t.Fatal(err)
	}
	var origins []string
	for _, d := range got {
		origins = append(origins, d.Origin.String())
	}
	want := []string{"file here/a.yaml", "file here/a.yaml document 2", "file here/b.yml"}
	if !slices.Equal(origins, want) {
		t.Errorf("got %q, want %q", origins, want)
	}
}

// brokenFS lists a file that cannot be opened.
type brokenFS struct{ files fstest.MapFS }

func (f brokenFS) Open(name string) (fs.File, error) {
	if name != "." {
		return nil, fs.ErrPermission
	}
	return f.files.Open(name)
}

func TestDocumentsErrors(t *testing.T) {
	t.Parallel()
	if _, err := conf.Documents(os.DirFS("testdata/nowhere"), "here"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing directory gives %v", err)
	}
	if _, err := conf.Documents(brokenFS{fstest.MapFS{"a.yaml": {}}}, "here"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("an unreadable file gives %v", err)
	}
}

// A directory that cannot be read is the base of each document that inherits from a file below it.
func TestInheritFromAnUnreadableDirectory(t *testing.T) {
	t.Parallel()
	sub := conf.Unreadable(file("sub", 0), errors.New("permission denied"))
	sub.BaseOnly = true
	unused := conf.Unreadable(file("unused", 0), errors.New("permission denied"))
	unused.BaseOnly = true
	heir := documents("a.yaml", "name: x\ninherits: sub/deeper/base.yaml\n")
	expect(t, "unreadable", conf.Load(append(heir, sub, unused), nil).Rejections, []string{
		`file conf/a.yaml:2: inherits: Invalid value: its base "sub/deeper/base.yaml" (file conf/sub) is rejected`,
		"file conf/sub: permission denied",
	})
}

// A base-only document is neither served nor validated unless another document inherits from it.
func TestUnusedBase(t *testing.T) {
	t.Parallel()
	set := conf.Load(slices.Concat(
		documents("a.yaml", "name: a\n"),
		baseOnly("sub/valid.yaml", "name: a\n---\nname: b\n"),
		baseOnly("sub/invalid.yaml", "nonsense: 1\n"),
	), nil)
	if got, want := show(set), "a:latest from file conf/a.yaml\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	byRef := conf.Load(append(documents("a.yaml", "name: a\ninherits: b\n"), baseOnly("sub/b.yaml", "name: b\n")...), nil)
	expect(t, "by ref", byRef.Rejections, []string{"no sidecar b:latest is defined"})
}

func TestOrigin(t *testing.T) {
	t.Parallel()
	sorted := []conf.Origin{
		{Kind: conf.File, Root: "conf/", Name: "a.yaml"},
		{Kind: conf.File, Root: "conf/", Name: "a.yaml", Index: 1},
		{Kind: conf.File, Root: "conf/", Name: "b.yaml"},
		{Kind: conf.File, Root: "d", Name: "a.yaml"},
		{Kind: conf.ConfigMap, Root: "a/b", Name: "c", Index: 9},
		{Kind: conf.ConfigMap, Root: "a/c", Name: "a.yaml"},
	}
	texts := []string{
		"file conf/a.yaml", "file conf/a.yaml document 2", "file conf/b.yaml", "file d/a.yaml",
		"configmap a/b[c] document 10", "configmap a/c[a.yaml]",
	}
	for i, o := range sorted {
		if o.String() != texts[i] {
			t.Errorf("got %s, want %s", o, texts[i])
		}
		for j, other := range sorted {
			if got, want := o.Compare(other), compareInts(i, j); got != want {
				t.Errorf("%s and %s compare as %d, want %d", o, other, got, want)
			}
		}
	}
}

func compareInts(a, b int) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func TestParseRef(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"logger":                "logger:latest",
		" Logger:V1 \n":         "logger:v1",
		"a.b_c-d:1.2.3-rc":      "a.b_c-d:1.2.3-rc",
		"logger:latest":         "logger:latest",
		" Logger: ":             "logger:latest",
		strings.Repeat("a", 63): strings.Repeat("a", 63) + ":latest",
	} {
		ref, err := conf.ParseRef(text)
		if err != nil || ref.String() != want {
			t.Errorf("%q gives %s, %v; want %s", text, ref, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                             "the name is empty: a ref is name or name:version",
		":v1":                          "the name is empty: a ref is name or name:version",
		":":                            "the name is empty: a ref is name or name:version",
		"a:" + strings.Repeat("b", 64): `the version is not usable: must be no more than 63 bytes`,
	} {
		if ref, err := conf.ParseRef(text); err == nil || err.Error() != want || ref != (conf.Ref{}) {
			t.Errorf("%q gives %s, %v; want %s", text, ref, err, want)
		}
	}
	a, b := conf.Ref{Name: "a", Version: "v2"}, conf.Ref{Name: "b", Version: "v1"}
	if a.Compare(b) != -1 || b.Compare(a) != 1 || a.Compare(a) != 0 {
		t.Error("refs order by name, then by version")
	}
}
