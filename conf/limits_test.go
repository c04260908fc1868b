package conf_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s-sidecar-injector/conf"
)

// series returns n documents, made by a function of their index.
func series(n int, text func(int) string) string {
	var all strings.Builder
	for i := range n {
		fmt.Fprintf(&all, "---\n%s", text(i))
	}
	return all.String()
}

// keys returns the documents of a ConfigMap sidecars/NAME with n keys.
func keys(name string, n int) []conf.Document {
	configMap := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "sidecars", Name: name},
		Data:       make(map[string]string, n),
	}
	for i := range n {
		configMap.Data[fmt.Sprintf("k%d", i)] = fmt.Sprintf("name: c%d\n", i)
	}
	return conf.OfConfigMap(configMap)
}

func TestSplitStopsEarly(t *testing.T) {
	t.Parallel()
	blank := strings.Repeat("---\n# nothing\n", 2000)
	for n, want := range map[int]int{1: 1, 1000: 1000, 1001: 1, 170_000: 1} {
		got := conf.Split(file("a.yaml", 7), []byte(blank+series(n, plain)+blank))
		if len(got) != want {
			t.Fatalf("%d documents give %d, want %d", n, len(got), want)
		}
		if whole := got[0]; (whole.Err != nil) != (n > 1000) || whole.Origin.Index > 0 && whole.Err != nil {
			t.Errorf("%d documents begin with %+v", n, whole)
		}
	}
	if got := conf.SplitManifests(
		file("a.yaml", 0),
		[]byte(series(1001, plain)),
	); len(got) != 1001 ||
		got[1000].Origin.Index != 1000 {
		t.Errorf("%d manifests, want 1001", len(got))
	}
}

func TestOfConfigMapWithTooMuch(t *testing.T) {
	t.Parallel()
	whole := conf.Origin{Kind: conf.ConfigMap, Root: "sidecars/m"}
	const want = "configmap sidecars/m: has more than 1000 documents; use several files or ConfigMaps"
	if got := keys("m", 1000); len(got) != 1000 {
		t.Errorf("1000 keys give %d documents", len(got))
	}
	for name, configMap := range map[string]corev1.ConfigMap{
		"documents of two keys": {Data: map[string]string{"a": series(500, plain), "b": series(501, plain)}},
		"binary keys": {
			Data: map[string]string{"a": series(999, plain)}, BinaryData: map[string][]byte{"b": nil, "c": nil},
		},
	} {
		configMap.Namespace, configMap.Name = "sidecars", "m"
		got := conf.OfConfigMap(&configMap)
		if len(got) != 1 || got[0].Origin != whole {
			t.Fatalf("%s: %d documents, the first of %s", name, len(got), got[0].Origin)
		}
		expect(t, name, conf.Load(got, nil).Rejections, []string{want})
	}
	expect(t, "keys", conf.Load(keys("m", 1001), nil).Rejections, []string{want})
}

// A document that exceeds a limit is rejected like any other: its last valid version stays in service, its refs are
// not transferred, and it can be fixed.
func TestOverLimitKeepsWhatWasServed(t *testing.T) {
	t.Parallel()
	base := "name: c0\nenv: [{name: A, value: " + strings.Repeat("x", 100_000) + "}]\n"
	heirs := func(i int) string {
		if i == 0 {
			return base
		}
		return fmt.Sprintf("name: c%d\ninherits: c0\n", i)
	}
	for name, test := range map[string]struct {
		good, over []conf.Document
		want       string
	}{
		"a file": {
			documents("a.yaml", series(90, plain)), documents("a.yaml", series(1001, orphan)), "has more than 1000",
		},
		"a key": {
			inMap("m", series(90, plain)), inMap("m", series(1001, orphan)), "configmap sidecars/m[k]: has more than 1000",
		},
		"a ConfigMap": {keys("m", 90), keys("m", 1001), "configmap sidecars/m: has more than 1000"},
		"a long chain": {
			inMap("m", series(90, plain)), inMap("m", series(202, func(i int) string { return linked(201 - i) })),
			"more than 100 bases",
		},
		"inheritance": {inMap("m", series(90, plain)), inMap("m", series(90, heirs)), "may inherit 4 MiB in all"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := conf.Load(test.good, nil)
			over := conf.Load(append(documents("other.yaml", "name: other\n"), test.over...), before)
			if got := show(over); !strings.Contains(got, test.want) {
				t.Fatalf("got %.300s, want %q in it", got, test.want)
			}
			again := conf.Load(append(inMap("zzz", "name: c89\n"), test.over...), over)
			checkServed(t, before, over)
			for _, old := range before.Sidecars {
				for step, set := range map[string]*conf.Set{"at once": over, "later": again} {
					if now := find(set, old.Ref); now == nil || now.Origin.Root == "sidecars/zzz" {
						t.Errorf("%s, %s has changed: %+v", step, old.Ref, now)
					}
				}
			}
			if fixed := conf.Load(test.good, again); !fixed.Equal(before) {
				t.Errorf("fixed, the set differs: %.300s", show(fixed))
			}
		})
	}
}

func find(set *conf.Set, ref conf.Ref) *conf.Sidecar {
	for _, s := range set.Sidecars {
		if s.Ref == ref {
			return s
		}
	}
	return nil
}

// Each ConfigMap has its own limit, and rejected documents do not count.
func TestInheritanceIsCountedByHolder(t *testing.T) {
	t.Parallel()
	base := "name: base\nenv: [{name: A, value: " + strings.Repeat("x", 1_000_000) + "}]\n---\nname: small\n"
	heirs := func(name string) []conf.Document {
		text := series(5, func(i int) string { return fmt.Sprintf("name: %s%d\ninherits: base\n", name, i) })
		return inMap(name, text+"---\nname: "+name+"\ninherits: small\n")
	}
	set := conf.Load(append(append(inMap("base", base), heirs("m")...), heirs("p")...), nil)
	expect(t, "rejected", set.Rejections, []string{"sidecars/m[k]:15: inherits", "sidecars/p[k]:15: inherits"})
}

// Inherited members of a map count.
func TestManyMembers(t *testing.T) {
	t.Parallel()
	members := func(prefix string, n int) string {
		return "{" + strings.Join(slices.Collect(func(yield func(string) bool) {
			for i := range n {
				if !yield(fmt.Sprintf("%s%d: a", prefix, i)) {
					return
				}
			}
		}), ", ") + "}"
	}
	for _, name := range []string{"labels", "annotations", "extendAnnotations", "nodeSelector"} {
		base := "name: base\n" + name + ": " + members("a", 1000) + "\n"
		expect(t, name, conf.Load(documents("a.yaml", base), nil).Rejections, nil)
		over := strings.Replace(base, "{", "{x: x, ", 1)
		expect(
			t,
			name,
			conf.Load(documents("a.yaml", over), nil).Rejections,
			[]string{name + ": Too many: must have at most 1000 items"},
		)
		heir := base + "---\nname: heir\ninherits: base\n" + name + ": " + members("b", 1) + "\n"
		expect(
			t,
			name,
			conf.Load(documents("a.yaml", heir), nil).Rejections,
			[]string{name + ": Too many: must have at most 1000 items"},
		)
	}
}
