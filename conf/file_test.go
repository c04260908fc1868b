package conf_test

import (
	"testing"

	"k8s-sidecar-injector/conf"
)

// TestOfFile verifies that the files of a mounted ConfigMap are read as those of a config directory.
func TestOfFile(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		documents int
		baseOnly  bool
	}{
		"a.yaml":        {documents: 2},
		"a.yml":         {documents: 2},
		"a.json":        {},
		".a.yaml":       {documents: 2, baseOnly: true},
		"bases/a.yaml":  {documents: 2, baseOnly: true},
		"a/b/.c.yaml":   {documents: 2, baseOnly: true},
		".git/a.yaml":   {},
		"x/.git/a.yaml": {},
	} {
		documents := conf.OfFile("conf", name, []byte("name: a\n---\nname: b\n"))
		if len(documents) != want.documents {
			t.Errorf("%s: got %d documents, want %d", name, len(documents), want.documents)
		}
		for _, d := range documents {
			if d.BaseOnly != want.baseOnly || d.Origin.Root != "conf" || d.Origin.Name != name {
				t.Errorf("%s: got %+v", name, d)
			}
		}
	}
}
