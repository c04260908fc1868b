package conf_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"k8s-sidecar-injector/conf"
)

// contents are what a file of FuzzIncremental may have. %d is its number, and 0 is that of another file. All names can
// be read: a document without a name claims the refs that its file had before.
func contents() []string {
	return []string{
		"name: s%d\nenv: [{name: A, value: a}]\ncontainers: [{name: c, image: i}]\n",
		"# moved\n\nname: s%d\nenv: [{name: A, value: b}]\ncontainers: [{name: c, image: 'i:v1'}]\n",
		"name: s%d\ninherits: s0\nenv: [{name: B, value: b}]\n",
		"name: s%d\ninherits: f0.yaml\nlabels: {a: b}\n",
		"name: s%d\ninherits: bases/b0.yaml\ncontainers: [{name: d, image: i}]\n",
		"name: s%d\nhostPID: true\n",
		"name: s%d\nnonsense: 1\n",
		"name: s%d\n--- \nname: t%d\ninherits: s%[1]d\n---\nname: s0\n",
		"name: s%d\nparameters: {level: {default: info}}\nenv: [{name: LEVEL, value: '${level}'}]\n",
		"name: s%d\nvolumeMounts: [{name: v, mountPath: /v}]\nvolumes: [{name: v, emptyDir: {}}]\ninherits: s0\n",
	}
}

// edited returns the documents of a file with one of contents, or none.
func edited(random *rand.Rand, number int) []conf.Document {
	choices := contents()
	choice := random.IntN(len(choices) + 1)
	if choice == len(choices) {
		return nil
	}
	text := strings.ReplaceAll(choices[choice], "s0", fmt.Sprintf("s%d", random.IntN(6)))
	text = strings.ReplaceAll(text, "f0", fmt.Sprintf("f%d", random.IntN(6)))
	text = strings.ReplaceAll(text, "%d", fmt.Sprint(number))
	text = strings.ReplaceAll(text, "%[1]d", fmt.Sprint(number))
	switch number {
	case 5:
		return inMap("m", text)
	case 4:
		return baseOnly("bases/b0.yaml", text)
	default:
		return documents(fmt.Sprintf("f%d.yaml", number), text)
	}
}

// FuzzIncremental makes random edits. After each, an incremental load serves and rejects the same as a load without a
// past, apart from the last valid versions of rejected documents.
func FuzzIncremental(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 0))
		rules := conf.Rules{UnprivilegedFiles: seed%2 == 0}
		files := make(map[int][]conf.Document)
		var set *conf.Set
		for range 30 {
			number := random.IntN(6)
			files[number] = edited(random, number)
			fresh := slices.Concat(files[0], files[1], files[2], files[3], files[4], files[5])
			next, err := rules.Load(t.Context(), withResults(random, fresh, files[number], set), set)
			if err != nil {
				t.Fatal(err)
			}
			want, err := rules.Load(t.Context(), fresh, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(showCurrent(want), showCurrent(next)); diff != "" {
				t.Fatalf("the incremental load differs (-fresh +incremental):\n%s", diff)
			}
			if len(want.Rejections) == 0 {
				checkSame(t, "without rejections", want, next)
			}
			set = next
		}
	})
}

// A load of many documents, which are parsed in parallel, equals loads of a few more documents each.
func TestParallelLoad(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1))
	var list []conf.Document
	var few *conf.Set
	for i := range 300 {
		content := strings.ReplaceAll(contents()[random.IntN(len(contents()))], "%d", fmt.Sprint(i))
		list = append(list, documents(fmt.Sprintf("f%d.yaml", i), strings.ReplaceAll(content, "%[1]d", fmt.Sprint(i)))...)
		if i%50 == 49 {
			few = conf.Load(list, few)
		}
	}
	many := conf.Load(list, nil)
	if diff := cmp.Diff(showCurrent(few), showCurrent(many)); diff != "" {
		t.Error(diff)
	}
}

// withResults replaces documents that were not edited by those of the set, which have the results, at random.
func withResults(random *rand.Rand, list, edited []conf.Document, set *conf.Set) []conf.Document {
	if set == nil || random.IntN(2) == 0 {
		return list
	}
	unedited := slices.DeleteFunc(slices.Clone(list), func(d conf.Document) bool {
		return slices.ContainsFunc(edited, func(e conf.Document) bool { return e.Origin == d.Origin })
	})
	set.Release(unedited)
	return slices.Concat(unedited, edited)
}

// showCurrent formats what does not depend on earlier loads.
func showCurrent(set *conf.Set) string {
	var text strings.Builder
	for _, s := range set.Sidecars {
		if !s.Stale {
			showSidecar(&text, s)
			fmt.Fprintln(&text, s.Digest, s.Level, s.Violations, s.Warnings, s.Definition(), listed(s))
		}
	}
	for _, r := range set.Rejections {
		fmt.Fprintln(&text, "rejected", r.Origin, r.Ref, r.Errors)
	}
	return text.String()
}

func listed(s *conf.Sidecar) string {
	text, err := json.Marshal(s.Listed())
	if err != nil {
		panic(err)
	}
	return string(text)
}
