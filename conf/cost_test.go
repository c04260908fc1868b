package conf_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s-sidecar-injector/conf"
)

// bombs returns small documents that expand to large ones, with the expected errors.
func bombs() map[string]string {
	list := func(n int, element string) string { return "[" + strings.Repeat(element+",", n) + "]" }
	power := "name: x\nx0: &a0 [1]\n"
	chain := power
	for i := range 1200 {
		if i < 30 {
			power += fmt.Sprintf("x%d: &a%d %s\n", i+1, i+1, list(10, fmt.Sprintf("*a%d", i)))
		}
		chain += fmt.Sprintf("x%d: &a%d [*a%d]\n", i+1, i+1, i)
	}
	const costly, deep = "may cost 8 MiB in all", "is nested more than 1000 deep"
	text := "name: x\nx: &a \"" + strings.Repeat("s", 50_000) + "\"\n"
	object := "name: x\nx: &a {" + strings.Repeat("k: 1, ", 1000) + "}\n"
	return map[string]string{
		text + "y: " + list(20_000, "*a"):                         costly,
		text + "y: {" + strings.Repeat("? *a\n: 1, ", 2000) + "}": costly,
		power:                                  costly,
		object + "y: " + list(200, "{<<: *a}"): costly,
		object + "y: {<<: " + list(200, "*a") + "}": costly,
		chain:                       deep,
		"name: x\nenv: &a [*a]":     "an anchor contains itself",
		"name: x\nenv: &a {<<: *a}": "an anchor contains itself",
		"name: x\nx: " + strings.Repeat("[", 1100):                           "did not find expected",
		"name: x\nx:\n" + strings.Repeat("- ", 1100) + "a":                   deep,
		"name: x\nx: " + list(500_000, "0"):                                  costly,
		"name: x\n? " + strings.Repeat("k", 5000) + "\n: " + list(5000, "0"): costly,
		"name: x\nx: " + strings.Repeat("s", 1<<20):                          "is larger than 1048576 bytes",
	}
}

// The cost of aliases is known before they are expanded, in documents of all origins and in manifests.
//
//nolint:paralleltest // it measures the memory of the whole process
func TestCostIsKnownBefore(t *testing.T) {
	for content, want := range bombs() {
		for what, load := range map[string]func() string{
			"file":      func() string { return show(conf.Load(documents("a.yaml", content), nil)) },
			"ConfigMap": func() string { return show(conf.Load(inMap("m", content), nil)) },
			"base": func() string {
				heir := documents("a.yaml", "name: a\ninherits: sub/base.yaml\n")
				return show(conf.Load(append(heir, baseOnly("sub/base.yaml", content)...), nil))
			},
			"trial": func() string {
				trial := try(t, conf.Load(inMap("other", "name: other\n"), nil), "sidecars", "m", inMap("m", content))
				return trial.Rejected[0].Errors.Error()
			},
			"manifest": func() string {
				if !strings.Contains(content, "&") {
					return want // manifests may have any size
				}
				_, err := conf.SplitManifests(conf.Origin{Name: "a"}, []byte(content))[0].JSON()
				return strings.ReplaceAll(fmt.Sprint(err), "its aliases would add more than 8 MiB", "may cost 8 MiB in all")
			},
		} {
			before := allocated()
			got := load()
			if took := allocated() - before; took > 300<<20 {
				t.Errorf("%s %.40q takes %d bytes", what, content, took)
			}
			if !strings.Contains(got, want) {
				t.Errorf("%s %.40q: got %.300s, want %q", what, content, got, want)
			}
		}
	}
}

// The size of defaults is known before they are filled in.
//
//nolint:paralleltest // it measures the memory of the whole process
func TestDefaultsInManyPlaces(t *testing.T) {
	for name, content := range map[string]string{
		"one text":   `args: ["` + strings.Repeat("${a}", 50_000) + `"]`,
		"many texts": `args: [` + strings.Repeat(`"${a}",`, 20_000) + `]`,
	} {
		content = fmt.Sprintf(
			"name: x\nparameters: {a: {default: %s}}\ncontainers: [{name: c, image: i, %s}]\n",
			strings.Repeat("v", 16<<10),
			content,
		)
		before := allocated()
		got := show(conf.Load(inMap("m", content), nil))
		if took := allocated() - before; took > conf.Slowdown*300<<20 {
			t.Errorf("%s: takes %d bytes", name, took)
		}
		if want := "the defaults of parameters take more than 1536 KiB in all places"; !strings.Contains(got, want) {
			t.Errorf("%s: got %.300s, want %q", name, got, want)
		}
	}
}

// Aliases as people use them are within the limits.
func TestUsualAliases(t *testing.T) {
	t.Parallel()
	text := "name: x\nenv: &env\n- {name: A, value: b}\ncontainers:\n"
	for i := range 50 {
		text += fmt.Sprintf("- {name: c%d, image: i, env: *env}\n", i)
	}
	expect(t, "aliases", conf.Load(documents("a.yaml", text), nil).Rejections, nil)
}

// The documents of one file share a limit. A document that exceeds it is rejected without effect on other files, and
// is loaded once it is within the limit.
func TestCostIsShared(t *testing.T) {
	t.Parallel()
	document := func(name string, size int) string {
		return fmt.Sprintf(
			"name: %s\nenv: [{name: A, value: &v %s}, {name: B, value: *v}]\n",
			name,
			strings.Repeat("v", size),
		)
	}
	small := document("one", 10) + "---\n" + document("two", 250_000)
	other := documents("b.yaml", document("other", 100_000))
	before := conf.Load(append(documents("a.yaml", small), other...), nil)
	expect(t, "before", before.Rejections, nil)
	heavy := strings.Replace(small, "*v}]", "*v}, "+strings.Repeat("{name: C, value: *v},", 40)+"]", 2)
	over := conf.Load(append(documents("a.yaml", heavy), other...), before)
	if got := show(
		over,
	); !strings.Contains(got, "file conf/a.yaml document 2: the documents of one file or ConfigMap may cost 8 MiB") ||
		!strings.Contains(got, "stale two:latest") ||
		strings.Contains(got, "b.yaml:") {
		t.Errorf("got %.600s", got)
	}
	if fixed := conf.Load(append(documents("a.yaml", small), other...), over); !fixed.Equal(before) {
		t.Errorf("fixed: %.300s", show(fixed))
	}
}

// The documents of a ConfigMap share the values of parameters that are tried. So the result of a document may depend on
// another one, but not on earlier loads.
func TestTriesAreShared(t *testing.T) {
	t.Parallel()
	const (
		invalid = "tolerations: [{key: '_ ${p}', operator: Exists}]\n"
		valid   = "tolerations: [{key: '${p}', operator: Exists}]\n"
	)
	document := func(parameter, annotation, rest string, size int) string {
		return fmt.Sprintf("parameters: {p: %s}\nannotations: {%s: %s}\n%s",
			parameter, annotation, strings.Repeat("v", size), rest)
	}
	hungry := "name: a\n" + document("{}", "a", invalid, 62<<10)
	for what, second := range map[string]string{
		"invalid": "name: b\n" + document("{}", "b", invalid, 10<<10),
		"valid":   "name: b\n" + document("{enum: [_, b]}", "b", valid, 60<<10),
		"heir": "name: base\n" + document("{}", "b", "volumes: [{name: u, emptyDir: {}}, {name: v, emptyDir: {}}]\n"+
			"volumeMounts: [{name: u, mountPath: '/${p}'}, {name: v, mountPath: /v}]\n", 10<<10) +
			"---\nname: b\ninherits: base\nvolumes: [{name: w, emptyDir: {}}]\n" +
			"volumeMounts: [{name: w, mountPath: /v}]\n",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			var set *conf.Set
			for _, first := range []string{hungry, "name: a\n", hungry, "name: a\n"} {
				list := keyed(map[string]string{"a": first, "b": second})
				fresh, next := conf.Load(list, nil), conf.Load(list, set)
				if want, got := showCurrent(fresh), showCurrent(next); got != want {
					t.Errorf("got %d sidecars and %v,\nwant %d and %v",
						len(next.Sidecars), next.Rejections, len(fresh.Sidecars), fresh.Rejections)
				}
				if set != nil { // with the result of b in place of its content
					set.Release(list[1:])
					released := conf.Load(list, set)
					if showCurrent(released) != showCurrent(fresh) {
						t.Errorf("with results, got %d sidecars and %v", len(released.Sidecars), released.Rejections)
					}
				}
				set = next
			}
		})
	}
}

// A document that exceeds the limit, and that an earlier load could not decode, keeps the ref that it may define.
func TestCostlyDocumentKeepsItsName(t *testing.T) {
	t.Parallel()
	broken := "name: b\nx: [\n# " + strings.Repeat("v", 20_000)
	large := "name: a\nx: &v " + strings.Repeat("v", 50_000) + "\ny: [" + strings.Repeat("*v,", 162) + "]\n"
	set := conf.Load(keyed(map[string]string{"a": "name: a\n", "b": broken}), nil)
	list := keyed(map[string]string{"a": large, "b": broken})
	released := slices.Clone(list)
	set.Release(released[1:])
	other := inMap("other", "name: b\n")
	want := showCurrent(conf.Load(append(list, other...), nil))
	if !strings.Contains(want, "may cost 8 MiB") || !strings.Contains(want, "Duplicate") {
		t.Fatal(want)
	}
	if got := showCurrent(conf.Load(append(released, other...), set)); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
