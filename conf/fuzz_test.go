package conf_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"k8s-sidecar-injector/conf"
)

// FuzzLoad loads a txtar archive like those of TestLoad, without the number of the load.
func FuzzLoad(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, input []byte) {
		documents := fuzzed(input)
		set := conf.Load(documents, nil)
		checkJSON(t, set)
		checkRejections(t, set)
		checkSame(t, "done again", set, conf.Load(documents, set))
		slices.Reverse(documents)
		checkSame(t, "in another order", set, conf.Load(documents, nil))

		cut := truncated(documents)
		reloaded := conf.Load(cut, set)
		checkJSON(t, reloaded)
		checkRejections(t, reloaded)
		checkServed(t, set, reloaded)
		checkSame(t, "reloaded again", reloaded, conf.Load(cut, reloaded))
		slices.Reverse(cut)
		checkSame(t, "reloaded in another order", reloaded, conf.Load(cut, set))
		if len(set.Rejections) == 0 {
			checkSame(t, "fixed", set, conf.Load(documents, reloaded))
		}
	})
}

// addSeeds adds the first load of each archive, and each YAML file of testdata.
func addSeeds(f *testing.F) {
	f.Helper()
	archives, err := filepath.Glob(filepath.Join("testdata", "load", "*.txtar"))
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range archives {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		seed := new(txtar.Archive)
		for _, file := range archive.Files {
			if name, first := strings.CutPrefix(file.Name, "1/"); first {
				seed.Files = append(seed.Files, txtar.File{Name: name, Data: file.Data})
			}
		}
		f.Add(txtar.Format(seed))
	}
	single, err := filepath.Glob(filepath.Join("testdata", "*valid", "*.yaml"))
	if err != nil || len(single) == 0 || len(archives) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, path := range single {
		content, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append([]byte("-- conf/a.yaml --\n"), content...))
	}
}

// fuzzed returns the documents of an archive, or of one file if the input is not an archive. Documents with the same
// origin as an earlier one are dropped.
func fuzzed(input []byte) []conf.Document {
	// Not txtar.Parse: it panics on `-- --`.
	marks := regexp.MustCompile(`(?m)^-- (\S.*) --\n`).FindAllSubmatchIndex(input, -1)
	if len(marks) == 0 {
		return sourced([]txtar.File{{Name: "conf/a.yaml", Data: input}})
	}
	var files []txtar.File
	for i, mark := range marks {
		end := len(input)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		files = append(files, txtar.File{Name: string(input[mark[2]:mark[3]]), Data: input[mark[1]:end]})
	}
	seen := make(map[conf.Origin]bool)
	return slices.DeleteFunc(sourced(files), func(d conf.Document) bool {
		again := seen[d.Origin]
		seen[d.Origin] = true
		return again
	})
}

// truncated returns the documents with half of the content of every other document, and an error in every fifth.
func truncated(documents []conf.Document) []conf.Document {
	cut := slices.Clone(documents)
	for i := range cut {
		switch {
		case i%5 == 4 && cut[i].Origin.Index == 0:
			cut[i] = conf.Unreadable(cut[i].Origin, errors.New("unreadable"))
		case i%2 == 0:
			cut[i].Content = cut[i].Content[:len(cut[i].Content)/2]
		}
	}
	return cut
}

func checkSame(t *testing.T, what string, want, got *conf.Set) {
	t.Helper()
	if diff := cmp.Diff(show(want), show(got)); diff != "" || !want.Equal(got) {
		t.Errorf("%s, the set differs:\n%s", what, diff)
	}
}

func checkRejections(t *testing.T, set *conf.Set) {
	t.Helper()
	for _, r := range set.Rejections {
		if panicked, ok := errors.AsType[*conf.PanicError](r.Errors); ok {
			t.Errorf("%s panicked: %s", r.Origin, panicked.Stack)
		}
		if r.Errors.Len() == 0 {
			t.Errorf("%s was rejected without a fault", r.Origin)
		}
		for _, err := range r.Errors.Errors {
			fault, ok := errors.AsType[*conf.Error](err)
			whole := r.Origin
			whole.Index = 0
			if !ok || fault.Origin != r.Origin || !strings.HasPrefix(err.Error(), whole.String()) {
				t.Errorf("%s: the error does not have the origin: %v", r.Origin, err)
			}
		}
		if strings.Contains(r.Errors.Error(), "\n") {
			t.Errorf("%s: the error has several lines: %q", r.Origin, r.Errors.Error())
		}
	}
}

// checkServed requires that each stale sidecar was served before, and that one rejection lists it.
func checkServed(t *testing.T, before, after *conf.Set) {
	t.Helper()
	listed := make(map[conf.Ref]int)
	for _, r := range after.Rejections {
		for _, ref := range r.Stale {
			listed[ref]++
		}
	}
	for _, s := range after.Sidecars {
		if s.Stale != (listed[s.Ref] == 1) {
			t.Errorf("%s: stale is %v, but %d rejections list it", s.Ref, s.Stale, listed[s.Ref])
		}
		if s.Stale && !slices.ContainsFunc(before.Sidecars, func(old *conf.Sidecar) bool {
			return old.Ref == s.Ref && old.Digest == s.Digest
		}) {
			t.Errorf("%s is stale, but was not served before", s.Ref)
		}
	}
}
