package watcher

import (
	"os"
	"path/filepath"
	"testing"
)

// The race of listing and reading cannot be provoked from outside.
func TestAFileThatVanishedIsIgnored(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	name := filepath.Join(path, "a.yaml")
	if err := os.WriteFile(name, []byte("name: a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	r := treeReader{root: root, path: path}
	if r.readFile("a.yaml"); len(r.documents) != 1 || r.documents[0].Err != nil {
		t.Fatalf("before: documents %v, want one without an error", r.documents)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if r.readFile("a.yaml"); len(r.documents) != 1 {
		t.Fatalf("documents %v, want no more", r.documents)
	}
}
