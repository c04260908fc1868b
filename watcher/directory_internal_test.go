package watcher

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"
)

// What happens between listing and reading cannot be brought about from outside.
func TestAFileThatVanishedIsPassedOver(t *testing.T) {
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
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		t.Fatal(err)
	}
	d := NewDirectory(path, zerolog.Nop())
	if got := d.read(root, entries[0], nil); len(got) != 1 || got[0].Err != nil {
		t.Fatalf("before: documents %v, want one without an error", got)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if got := d.read(root, entries[0], nil); len(got) != 0 {
		t.Fatalf("documents %v, want none", got)
	}
}
