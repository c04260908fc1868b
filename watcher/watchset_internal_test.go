package watcher

import (
	"os"
	"path/filepath"
	"testing"
)

// An ignored event has no effect that an external test could see.
func TestWatchSet(t *testing.T) {
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
	set := newWatchSet([]string{filepath.Join(top, "link"), filepath.Join(top, "missing", "conf")})
	if len(set) != 2 {
		t.Fatalf("%d watches, want the directory and its parent", len(set))
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
		if got := set.matches(filepath.Join(top, name)); got != want {
			t.Errorf("matches is %[2]t for %[1]s, want %[3]t", name, got, want)
		}
	}
}
