package watcher

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/util/sets"
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
	set := newWatchSet(sets.New(filepath.Join(top, "link"), filepath.Join(top, "missing", "conf"), "/missing"))
	if len(set.directories) != 3 {
		t.Fatalf("the watches are %v, want the directory, its parent and the root",
			slices.Collect(maps.Keys(set.directories)))
	}
	if !set.matches("//missing") {
		t.Error("an event in the root directory does not match")
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
