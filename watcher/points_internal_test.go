package watcher

import (
	"os"
	"path/filepath"
	"testing"
)

// That an event was passed over shows on nothing that can be seen from outside.
func TestWhichEventsConcernADirectory(t *testing.T) {
	t.Parallel()
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(top, "conf"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("conf", filepath.Join(top, "link")); err != nil {
		t.Fatal(err)
	}
	found := survey([]string{filepath.Join(top, "link"), filepath.Join(top, "missing", "conf")})
	if len(found) != 2 {
		t.Fatalf("%d points, want the directory and its parent", len(found))
	}
	for name, want := range map[string]bool{
		".":              true,
		"conf":           true,
		"conf/any":       true,
		"conf/any/below": false,
		"link":           true,
		"missing":        true,
		"beside":         false,
		"..":             false,
	} {
		if got := found.concern(filepath.Join(top, name)); got != want {
			t.Errorf("an event about %s concerns us: %t, want %t", name, got, want)
		}
	}
}
