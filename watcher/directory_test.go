package watcher_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/watcher"
)

// documents lists the documents of a directory: `a.yaml`, `a.yaml document 2`, `base a.yaml` or `a.yaml: <error>`.
func documents(t *testing.T, path string) []string {
	t.Helper()
	list, err := watcher.NewDirectory(path, zerolog.Nop()).Documents(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, document := range list {
		text := strings.TrimPrefix(document.Origin.String(), "file "+path+"/")
		if document.BaseOnly {
			text = "base " + text
		}
		if document.Err != nil {
			text += ": " + document.Err.Error()
		}
		all = append(all, text)
	}
	return all
}

// entry creates an entry of a directory.
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

// listing is a directory with its expected documents.
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
		"by name, both endings, dot files and subdirectories as bases": {
			entries: []entry{
				file("b.yml", good), file("a.yaml", good), file(".c.yaml", good), file(".yaml", good),
				file("d.yaml~", good), file("e.json", good), file("YAML", good), file("sub/f.yaml", good), file("sub/g.json", good),
			},
			want: []string{"base .c.yaml", "base .yaml", "a.yaml", "b.yml", "base sub/f.yaml"},
		},
		"several documents in a file": {
			entries: []entry{file("a.yaml", "name: a\n---\n---\nname: b\n")},
			want:    []string{"a.yaml", "a.yaml document 2"},
		},
		"an empty file": {
			entries: []entry{file("a.yaml", "")},
			want:    []string{"a.yaml: has no document; remove the file or key to remove its sidecars"},
		},
		"a directory with the name of a file, and a link to it": {
			entries: []entry{file("a.yaml/b.yaml", good), link("c.yaml", "a.yaml")},
			want:    []string{"base a.yaml/b.yaml", "base c.yaml/b.yaml"},
		},
		"subdirectories, level by level, no dot directories": {
			entries: []entry{
				file(
					"b/y.yaml",
					good+"---\nname: y\n",
				),
				file("a/c/x.yaml", good),
				file("z.yaml", good),
				file(".git/x.yaml", good),
				file("..data/x.yaml", good),
			},
			want: []string{"z.yaml", "base b/y.yaml", "base b/y.yaml document 2", "base a/c/x.yaml"},
		},
		"odd files in a subdirectory": {
			entries: []entry{
				file(
					"sub/big.yaml",
					strings.Repeat("x", 1<<20+1),
				),
				fifo("sub/fifo.yaml"),
				fifo("sub/fifo"),
				link("sub/dangling.yaml", "nothing"),
			},
			want: []string{
				"base sub/big.yaml: is larger than 1048576 bytes", "base sub/dangling.yaml: is a dangling symbolic link",
				"base sub/fifo.yaml: is not a regular file",
			},
		},
		"a FIFO and a link to it": {
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
		"to a directory": {
			entries: []entry{file("sub/x.yaml", good), link("link", "sub")},
			want:    []string{"base link/x.yaml", "base sub/x.yaml"},
		},
		"to a directory of a mounted ConfigMap": {
			entries: []entry{file("..1/sub/x.yaml", good), link("..data", "..1"), link("sub", "..data/sub")},
			want:    []string{"base sub/x.yaml"},
		},
		"to an ancestor": {
			entries: []entry{file("sub/x.yaml", good), link("sub/self", "."), link("sub/up", ".."), link("up", ".")},
			want:    []string{"base sub/x.yaml"},
		},
		"between two directories": {
			entries: []entry{file("a/x.yaml", good), file("b/y.yaml", good), link("a/b", "../b"), link("b/a", "../a")},
			want:    []string{"base a/x.yaml", "base b/y.yaml", "base a/b/y.yaml", "base b/a/x.yaml"},
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
			want:    []string{"a.yaml" + out, "base sub" + out},
		},
		"dangling": {
			entries: []entry{link("a.yaml", "nothing")},
			want:    []string{"a.yaml: is a dangling symbolic link"},
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
		t.Errorf("String returned %q", got)
	}
	list, err := d.Documents(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := conf.Origin{Kind: conf.File, Root: path, Name: "a.yaml"}
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
		_, err := watcher.NewDirectory(filepath.Join(path, name), zerolog.Nop()).Documents(t.Context(), nil)
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
	if _, err := watcher.NewDirectory(path, zerolog.Nop()).Documents(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want %v", err, context.Canceled)
	}
}

// deep returns the name of a file below that many directories.
func deep(levels int) string {
	return strings.Repeat("d/", levels) + "x.yaml"
}

// Files beyond a limit are ignored, with one warning. Files that are served are always read.
func TestLimitsOfSubdirectories(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		entries []entry
		want    int
	}{
		"levels": {[]entry{file(deep(20), "name: x\n"), file(deep(21), "name: x\n")}, 1},
		"bytes": {[]entry{func(t *testing.T, path string) {
			t.Helper()
			for i := range 20 {
				write(t, "name: x\n#"+strings.Repeat("x", 1<<20-10), path, "sub", strconv.Itoa(i)+".yaml")
			}
		}}, 17},
		"directories": {[]entry{func(t *testing.T, path string) {
			t.Helper()
			for i := range 1010 {
				write(t, "name: x\n", path, "sub"+strconv.Itoa(i), "x.yaml")
			}
		}}, 1000},
		"files": {[]entry{func(t *testing.T, path string) {
			t.Helper()
			for i := range 10_010 {
				write(t, "name: x\n", path, "sub", strconv.Itoa(i)+".yaml")
			}
		}}, 10_000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := t.TempDir()
			write(t, "name: served\n", path, "z.yaml")
			for _, add := range test.entries {
				add(t, path)
			}
			log := new(logBuffer)
			d := watcher.NewDirectory(path, log.logger())
			for range 2 {
				list, err := d.Documents(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				if list[0].Origin.Name != "z.yaml" || len(list) != test.want+1 {
					t.Errorf("%d documents, the first is %s; want %d with z.yaml", len(list), list[0].Origin, test.want+1)
				}
			}
			log.wantLines(t, "config directory exceeds a limit", 1)
		})
	}
}

// Directories that all link to each other have paths without end.
func TestCyclesOfLinksEnd(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	for i := range 30 {
		write(t, "name: x\n", path, strconv.Itoa(i), "x.yaml")
		for j := range 30 {
			symlink(t, "../"+strconv.Itoa(j), path, strconv.Itoa(i), strconv.Itoa(j))
		}
	}
	list, err := watcher.NewDirectory(path, zerolog.Nop()).Documents(t.Context(), nil)
	if err != nil || len(list) < 30 || len(list) > 1000 {
		t.Errorf("%d documents, error %v", len(list), err)
	}
}

// A directory that cannot be listed stands for its files, and does not affect others.
func TestAnUnreadableSubdirectory(t *testing.T) {
	t.Parallel()
	if os.Getuid() == 0 {
		t.Skip("root can read all directories")
	}
	path := t.TempDir()
	write(t, sidecar("x", "x"), path, "a.yaml")
	write(t, sidecar("x", "x"), path, "sub", "x.yaml")
	if err := os.Chmod(filepath.Join(path, "sub"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(path, "sub"), 0o700) })
	if diff := cmp.Diff([]string{"a.yaml", "base sub: permission denied"}, documents(t, path)); diff != "" {
		t.Errorf("documents (-want +got):\n%s", diff)
	}
}

// A file is read even if neither its size nor its times have changed. The documents of files with the same content are
// those of the loaded set, without content.
func TestUnchangedFiles(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	edited, same := filepath.Join(path, "edited.yaml"), filepath.Join(path, "same.yaml")
	write(t, "name: a\n---\nname: b\n", edited)
	write(t, "name: c\n---\nname: d\n", same)
	d := watcher.NewDirectory(path, zerolog.Nop())
	before, err := d.Documents(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	set := conf.Load(before, nil)
	info, err := os.Stat(edited)
	if err != nil {
		t.Fatal(err)
	}
	write(t, "name: a\n---\nname: x\n", edited)
	if err := os.Chtimes(edited, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	after, err := d.Documents(t.Context(), set)
	if err != nil {
		t.Fatal(err)
	}
	var contents []string
	for _, document := range after {
		contents = append(contents, string(document.Content))
	}
	if want := []string{"name: a\n", "\nname: x\n", "", ""}; !slices.Equal(contents, want) {
		t.Errorf("got %q, want %q", contents, want)
	}
	var refs []string
	for _, sidecar := range conf.Load(after, set).Sidecars {
		refs = append(refs, sidecar.Ref.Name)
	}
	if want := []string{"a", "c", "d", "x"}; !slices.Equal(refs, want) {
		t.Errorf("got %q, want %q", refs, want)
	}
}

// steppedContext is called each time that a reader asks whether the context has ended, which is before each entry of
// a directory.
type steppedContext func()

func (steppedContext) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }
func (steppedContext) Done() <-chan struct{}                   { return nil }
func (steppedContext) Value(any) any                           { return nil }

func (c steppedContext) Err() error {
	c()
	return nil
}

// layout writes another version of files a.yaml, b.yaml and c.yaml at once.
type layout func(t *testing.T, root, version string, files map[string]string)

// layouts are ways to replace files together.
func layouts() map[string]layout {
	mounted := func(volume string) layout {
		return func(t *testing.T, root, version string, files map[string]string) {
			t.Helper()
			mountVolume(t, filepath.Join(root, volume), version, files)
		}
	}
	writeAll := func(t *testing.T, directory string, files map[string]string) {
		t.Helper()
		for name, content := range files {
			write(t, content, directory, name)
		}
	}
	moved := func(name string) layout {
		return func(t *testing.T, root, _ string, files map[string]string) {
			t.Helper()
			directory := filepath.Join(root, name)
			_ = os.Rename(directory, directory+".old")
			writeAll(t, directory, files)
			remove(t, directory+".old")
		}
	}
	return map[string]layout{
		"volume":                   mounted("."),
		"volume in a subdirectory": mounted("sub"),
		"volume in a dot directory": func(t *testing.T, root, version string, files map[string]string) {
			t.Helper()
			mountVolume(t, filepath.Join(root, ".volume"), version, files)
			for name := range files {
				_ = os.Symlink(filepath.Join(".volume", name), filepath.Join(root, name))
			}
		},
		"directory":    moved("."),
		"subdirectory": moved("sub"),
		"link to a directory": func(t *testing.T, root, version string, files map[string]string) {
			t.Helper()
			writeAll(t, filepath.Join(root, "."+version), files)
			symlink(t, "."+version, root, ".link")
			rename(t, filepath.Join(root, ".link"), filepath.Join(root, "link"))
		},
	}
}

// TestReplacedWhileRead replaces all files before each entry that a read reads, in turn.
func TestReplacedWhileRead(t *testing.T) {
	t.Parallel()
	for name, replace := range layouts() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for at, steps := 1, 1; steps >= at; at++ { // until a read ends before
				root := filepath.Join(t.TempDir(), "conf")
				replaceWith := func(v string) {
					replace(t, root, v, map[string]string{
						"a.yaml": sidecar("a", v), "b.yaml": sidecar("b", v), "c.yaml": sidecar("c", v),
					})
				}
				replaceWith("1")
				steps = 0
				documents, err := watcher.NewDirectory(root, zerolog.Nop()).Documents(steppedContext(func() {
					if steps++; steps == at {
						replaceWith("2")
					}
				}), nil)
				if err != nil || len(documents) != 3 {
					t.Fatalf("replaced at %d: %d documents, %v; want 3", at, len(documents), err)
				}
				_, version, _ := strings.Cut(string(documents[2].Content), "serviceAccountName: ")
				for _, document := range documents {
					if !strings.HasSuffix(string(document.Content), version) {
						t.Fatalf("replaced at %d: %s has content %q, want version %s",
							at, document.Origin.Name, document.Content, version)
					}
				}
			}
		})
	}
}

// TestRenamedWhileListed renames files over others all the time. On tmpfs, a listing may miss some or have them twice.
func TestRenamedWhileListed(t *testing.T) {
	t.Parallel()
	const files, reads = 300, 100
	roots := []string{t.TempDir()}
	memory := filepath.Join("/dev/shm", strings.ReplaceAll(roots[0], "/", "-"))
	if err := os.Mkdir(memory, 0o700); err == nil { // a tmpfs
		t.Cleanup(func() { _ = os.RemoveAll(memory) })
		roots = append(roots, memory)
	}
	for _, root := range roots {
		for n := range files {
			write(t, "name: x\n", root, fmt.Sprintf("%d.yaml", n))
		}
		var done atomic.Bool
		var renaming sync.WaitGroup
		renaming.Go(func() {
			for n := 0; !done.Load(); n++ {
				temporary := filepath.Join(root, ".temporary")
				_ = os.WriteFile(temporary, []byte("name: x\n"), 0o600)
				_ = os.Rename(temporary, filepath.Join(root, fmt.Sprintf("%d.yaml", n%files)))
			}
		})
		d := watcher.NewDirectory(root, zerolog.Nop())
		failed := 0
		for range reads {
			documents, err := d.Documents(t.Context(), nil)
			switch {
			case err != nil:
				failed++
			case len(documents) != files:
				t.Errorf("%s: %d documents, want %d", root, len(documents), files)
			}
		}
		done.Store(true)
		renaming.Wait()
		if failed == reads {
			t.Errorf("%s: all reads failed", root)
		}
	}
}

func TestReplacedInEachRead(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	mountVolume(t, root, "0", map[string]string{"a.yaml": sidecar("a", "0")})
	steps := 0
	_, err := watcher.NewDirectory(root, zerolog.Nop()).Documents(steppedContext(func() {
		steps++
		mountVolume(t, root, strconv.Itoa(steps), map[string]string{"a.yaml": sidecar("a", "0")})
	}), nil)
	want := "reading the config directory " + root +
		": files were replaced while they were read"
	if err == nil || err.Error() != want {
		t.Fatalf("error %v, want %s", err, want)
	}
}
