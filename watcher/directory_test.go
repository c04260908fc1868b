package watcher_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/watcher"
)

// documents shows what a directory yields: `a.yaml`, `a.yaml#1` or `a.yaml: <error>`.
func documents(t *testing.T, path string) []string {
	t.Helper()
	list, err := watcher.NewDirectory(path, zerolog.Nop()).Documents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, document := range list {
		text := strings.TrimPrefix(document.Origin.String(), "file "+path+"/")
		if document.Err != nil {
			text += ": " + document.Err.Error()
		}
		all = append(all, text)
	}
	return all
}

// entry makes something in a directory.
type entry func(t *testing.T, path string)

func file(name, content string) entry {
	return func(t *testing.T, path string) { t.Helper(); write(t, content, path, name) }
}

func link(name, target string) entry {
	return func(t *testing.T, path string) { t.Helper(); symlink(t, target, path, name) }
}

func fifo(name string) entry {
	return func(t *testing.T, path string) { t.Helper(); makeFIFO(t, path, name) }
}

// listing is a directory and what it yields.
type listing struct {
	entries []entry
	want    []string
}

func wantListings(t *testing.T, tests map[string]listing) {
	t.Helper()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "conf")
			if err := os.Mkdir(path, 0o750); err != nil {
				t.Fatal(err)
			}
			for _, add := range test.entries {
				add(t, path)
			}
			if diff := cmp.Diff(test.want, documents(t, path)); diff != "" {
				t.Fatalf("documents (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDocumentsOfADirectory(t *testing.T) {
	t.Parallel()
	good := sidecar("x", "x")
	wantListings(t, map[string]listing{
		"nothing": {},
		"flat, by name, both endings, no dot files": {
			entries: []entry{
				file("b.yml", good), file("a.yaml", good), file(".c.yaml", good), file(".yaml", good),
				file("d.yaml~", good), file("e.json", good), file("YAML", good), file("sub/f.yaml", good),
			},
			want: []string{"a.yaml", "b.yml"},
		},
		"several documents in a file": {
			entries: []entry{file("a.yaml", "name: a\n---\n---\nname: b\n")},
			want:    []string{"a.yaml", "a.yaml document 2"},
		},
		"an empty file": {
			entries: []entry{file("a.yaml", "")},
			want:    []string{"a.yaml: holds no document: remove the file or key to remove its sidecars"},
		},
		"a directory by the name of a file, and a link to it": {
			entries: []entry{file("a.yaml/b.yaml", ""), link("c.yaml", "a.yaml")},
		},
		"a FIFO, and a link to it": {
			entries: []entry{fifo("a.yaml"), link("b.yaml", "a.yaml")},
			want:    []string{"a.yaml: is not a regular file", "b.yaml: is not a regular file"},
		},
		"a file of the largest size and one above": {
			entries: []entry{
				file("a.yaml", "name: x\n#"+strings.Repeat("x", 1<<20-len("name: x\n#"))),
				file("b.yaml", "name: x\n#"+strings.Repeat("x", 1<<20-len("name: x\n"))),
			},
			want: []string{"a.yaml", "b.yaml: is larger than 1048576 bytes"},
		},
	})
}

func TestLinksInADirectory(t *testing.T) {
	t.Parallel()
	const out = ": is a symbolic link that leaves the config directory: only relative links that stay inside are followed"
	good := sidecar("x", "x")
	wantListings(t, map[string]listing{
		"inside": {
			entries: []entry{file("sub/x.txt", good), link("a.yaml", "sub/x.txt")},
			want:    []string{"a.yaml"},
		},
		"out": {
			entries: []entry{file("../secret", good), link("a.yaml", "../secret")},
			want:    []string{"a.yaml" + out},
		},
		"absolute": {
			entries: []entry{link("a.yaml", "/dev/null")},
			want:    []string{"a.yaml" + out},
		},
		"out through a directory": {
			entries: []entry{file("../outside/x.yaml", good), link("sub", "../outside"), link("a.yaml", "sub/x.yaml")},
			want:    []string{"a.yaml" + out},
		},
		"to nothing": {
			entries: []entry{link("a.yaml", "nothing")},
			want:    []string{"a.yaml: is a symbolic link to nothing: mend or remove it"},
		},
		"to itself": {
			entries: []entry{link("a.yaml", "a.yaml")},
			want:    []string{"a.yaml: too many levels of symbolic links"},
		},
	})
}

func TestAnOriginHasThePathAsGiven(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	write(t, sidecar("x", "x"), path, "a.yaml")
	d := watcher.NewDirectory(path+"//sub/../", zerolog.Nop())
	if got := d.String(); got != "directory "+path {
		t.Errorf("String gives %q", got)
	}
	list, err := d.Documents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := conf.Origin{Kind: conf.File, Place: path, Name: "a.yaml"}
	if got := list[0].Origin; got != want {
		t.Fatalf("origin %#v, want %#v", got, want)
	}
}

func TestADirectoryThatCannotBeRead(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	write(t, "", path, "file")
	makeFIFO(t, path, "fifo")
	for name, want := range map[string]error{
		"missing": fs.ErrNotExist, "file": syscall.ENOTDIR, "fifo": syscall.ENOTDIR,
	} {
		_, err := watcher.NewDirectory(filepath.Join(path, name), zerolog.Nop()).Documents(t.Context())
		if !errors.Is(err, want) || !strings.Contains(err.Error(), filepath.Join(path, name)) {
			t.Errorf("%s: error %v, want %v with the path", name, err, want)
		}
	}
}

func TestReadingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	write(t, sidecar("x", "x"), path, "a.yaml")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := watcher.NewDirectory(path, zerolog.Nop()).Documents(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want %v", err, context.Canceled)
	}
}

// files gives the file system by which documents of a directory inherit.
func files(t *testing.T, path string) fs.FS {
	t.Helper()
	write(t, sidecar("x", "x"), path, "x.yaml")
	list, err := watcher.NewDirectory(path, zerolog.Nop()).Documents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return list[0].Files
}

func TestFilesToInheritFrom(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "conf")
	write(t, "base", path, "sub", "base.yaml")
	write(t, "secret", filepath.Dir(path), "outside", "secret.yaml")
	symlink(t, "../outside", path, "link")
	makeFIFO(t, path, "sub", "fifo.yaml")
	write(t, strings.Repeat("x", 1<<20+1), path, "sub", "big.yaml")
	tests := map[string]string{
		"sub/base.yaml":    "",
		"sub":              "is a directory",
		"sub/fifo.yaml":    "is not a regular file",
		"sub/big.yaml":     "is larger than 1048576 bytes",
		"sub/missing.yaml": "no such file or directory",
		"link/secret.yaml": "is a symbolic link that leaves the config directory: only relative links that stay inside are followed",
		"../outside":       "invalid argument",
	}
	fsys := files(t, path)
	for name, want := range tests {
		content, err := fs.ReadFile(fsys, name)
		if want != "" {
			want = "read " + name + ": " + want
		} else if string(content) != "base" {
			t.Errorf("%s: content %q", name, content)
		}
		if got := errorText(err); got != want {
			t.Errorf("%s: error %q, want %q", name, got, want)
		}
		_, err = fsys.Open(name)
		if got, want := errorText(err), strings.Replace(want, "read ", "open ", 1); got != want {
			t.Errorf("open %s: error %q, want %q", name, got, want)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestAFileToInheritFromCanBeOpened(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	write(t, "base", path, "sub", "base.yaml")
	file, err := files(t, path).Open("sub/base.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if info.Name() != "base.yaml" || info.Size() != 4 || !info.Mode().IsRegular() || info.IsDir() {
		t.Errorf("stat gives %s", fs.FormatFileInfo(info))
	}
	if content, err := io.ReadAll(file); string(content) != "base" || err != nil {
		t.Errorf("content %q, error %v", content, err)
	}
}

func TestOneReadingSeesAFileAsItWas(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	write(t, "first", path, "sub", "base.yaml")
	fsys := files(t, path)
	for _, change := range []func(){
		func() {},
		func() { write(t, "second", path, "sub", "base.yaml") },
		func() { remove(t, path) },
	} {
		change()
		content, err := fs.ReadFile(fsys, "sub/base.yaml")
		if err != nil || string(content) != "first" {
			t.Fatalf("content %q, error %v, want what was read first", content, err)
		}
		// What the caller does with it is no concern of the next.
		clear(content)
	}
}

// The reading is of one directory, also for what is read late.
func TestABaseIsReadFromTheDirectoryThatWasListed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "conf")
	write(t, "first", path, "sub", "base.yaml")
	fsys := files(t, path)
	rename(t, path, path+".away")
	write(t, "second", path, "sub", "base.yaml")
	if content, err := fs.ReadFile(fsys, "sub/base.yaml"); err != nil || string(content) != "first" {
		t.Fatalf("content %q, error %v, want that of the directory that was listed", content, err)
	}
	remove(t, path+".away")
	if _, err := fs.ReadFile(fsys, "sub/other.yaml"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("error %v, want %v", err, fs.ErrNotExist)
	}
}
