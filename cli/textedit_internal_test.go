package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"k8s-sidecar-injector/conf"
)

// FuzzEditText extends all maps and lists of a document. The edit must be correct or refused, and idempotent.
func FuzzEditText(f *testing.F) {
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, script := range scripts {
		content, err := os.ReadFile(script)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range txtar.Parse(content).Files {
			for _, document := range conf.SplitManifests(conf.Origin{}, file.Data) {
				f.Add(document.Content)
			}
		}
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		documents := conf.SplitManifests(conf.Origin{}, content)
		object, err := documents[0].JSON()
		if err != nil {
			return
		}
		before, err := decodeTree(object)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeTree(object)
		if err != nil {
			t.Fatal(err)
		}
		after := extended(again)
		edited, err := editText(documents[0], before, after)
		if err != nil {
			return
		}
		documents[0].Content = edited
		if object, err = documents[0].JSON(); err != nil {
			t.Fatalf("%v\n%s", err, edited)
		}
		if got, err := decodeTree(object); err != nil || !reflect.DeepEqual(got, after) {
			t.Fatalf("%v, %v, want %v\n%s", got, err, after, edited)
		}
		if same, err := editText(documents[0], after, after); err != nil || !bytes.Equal(same, edited) {
			t.Fatalf("%v\n%s\nwant:\n%s", err, same, edited)
		}
	})
}

// extended adds a member to each map, and an element before and after those of each list.
func extended(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key := range v {
			v[key] = extended(v[key])
		}
		v["added"] = []any{map[string]any{"name": "y", "text": "a\nb"}, nil, true}
	case []any:
		for i := range v {
			v[i] = extended(v[i])
		}
		return append([]any{"first"}, append(v, map[string]any{"name": "last"})...)
	}
	return value
}
