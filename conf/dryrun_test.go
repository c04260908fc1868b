package conf_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s-sidecar-injector/conf"
)

// inMap returns the documents of a ConfigMap sidecars/NAME with one key.
func inMap(name, content string) []conf.Document {
	return conf.Split(conf.Origin{Kind: conf.ConfigMap, Root: "sidecars/" + name, Name: "k"}, []byte(content))
}

// tried returns the set for tests of Try: a file, a base, its heir, and an invalid document.
func tried() *conf.Set {
	return conf.Load(slices.Concat(
		conf.Split(conf.Origin{Root: "conf", Name: "a.yaml"}, []byte("name: file\n")),
		inMap("base", "name: base\ncontainers: [{name: one, image: i}]\n"),
		inMap("heir", "name: heir\ninherits: base\ncontainers: [{name: two, image: i}]\n"),
		inMap("wrong", "name: wrong\nnonsense: 1\n"),
	), nil)
}

func TestTry(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		place, content   string
		rejected, broken []string // what each error has in it, in order
		still            []string
	}{
		"good":      {place: "new", content: "name: new\ninherits: base\n"},
		"unchanged": {place: "base", content: "name: base\ncontainers: [{name: one, image: i}]\n"},
		"bad YAML": {
			place: "new", content: "name: [", rejected: []string{"configmap sidecars/new[k]:2: invalid YAML"},
		},
		"every fault": {
			place: "new", content: "name: new\nx: 1\nz: 1\n", rejected: []string{"x: Forbidden", "z: Forbidden"},
		},
		"no document": {place: "new", content: "# nothing\n", rejected: []string{"has no document"}},
		"ref of a file": {
			place: "new", content: "name: file\n", rejected: []string{"defined first by file conf/a.yaml"},
		},
		"ref of a map before": {
			place: "new", content: "name: base\n", rejected: []string{"defined first by configmap sidecars/base[k]"},
		},
		"ref of a map behind": {
			place: "aaa", content: "name: base\ncontainers: [{name: one, image: i}]\n",
			rejected: []string{"defined by configmap sidecars/base[k]"},
			broken:   []string{"defined first by configmap sidecars/aaa[k]"},
		},
		"ref of a wrong one": {
			place: "zzz", content: "name: wrong\n", rejected: []string{"defined first by configmap sidecars/wrong[k]"},
		},
		"same ref twice": {
			place: "new", content: "name: new\n---\nname: new\n",
			rejected: []string{"defined first by configmap sidecars/new[k]"},
		},
		"missing base": {
			place: "new", content: "name: new\ninherits: nobody\n", rejected: []string{"no sidecar nobody:latest is defined"},
		},
		"base by path": {
			place: "new", content: "name: new\ninherits: a.yaml\n", rejected: []string{"by ref only, not by path"},
		},
		"cycle": {
			place: "base", content: "name: base\ninherits: heir\n",
			rejected: []string{"a cycle: "}, broken: []string{"a cycle: "},
		},
		"breaks its heir": {
			place: "base", content: "name: base\ninitContainers: [{name: two, image: i}]\n",
			broken: []string{`with what it inherits from "base"`},
		},
		"wrong base": {
			place: "base", content: "name: base\nx: 1\n",
			rejected: []string{"x: Forbidden"}, broken: []string{"is rejected"},
		},
		"power": {
			place: "new", content: "name: new\nhostPID: true\n",
			rejected: []string{
				"[k]:1: needs the Pod Security level privileged",
				"[k]:1: violates the Pod Security level baseline: host namespaces (hostPID=true)",
			},
		},
		"mends":           {place: "wrong", content: "name: wrong\n"},
		"wrong as before": {place: "wrong", content: "name: wrong\nnonsense: 1\n", still: []string{"nonsense: Forbidden"}},
		"removed":         {place: "base", broken: []string{"no sidecar base:latest is defined"}},
		"unknown":         {place: "nobody"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set, before := tried(), tried()
			var documents []conf.Document
			if test.content != "" {
				documents = inMap(test.place, test.content)
			}
			trial := try(t, set, "sidecars", test.place, documents)
			expect(t, "rejected", trial.Rejected, test.rejected)
			expect(t, "still rejected", trial.Still, test.still)
			expect(t, "broken", trial.Broken, test.broken)
			if !set.Equal(before) {
				t.Error("the set was changed")
			}
		})
	}
}

// expect compares errors with the texts that they must contain.
func expect(t *testing.T, what string, rejections []conf.Rejection, want []string) {
	t.Helper()
	var got []string
	for _, r := range rejections {
		for _, err := range r.Errors.Errors {
			got = append(got, err.Error())
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%s: %q, want %q", what, got, want)
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("%s: %q, want %q in it", what, got[i], want[i])
		}
	}
}

// A trial lists the sidecars that stay in service although their documents would be rejected.
func TestTryNamesWhatStays(t *testing.T) {
	t.Parallel()
	broken := try(t, tried(), "sidecars", "base", nil).Broken
	if len(broken) != 1 || len(broken[0].Stale) != 1 || broken[0].Stale[0].String() != "heir:latest" {
		t.Errorf("broken is %+v, want heir:latest to stay in service", broken)
	}
}

// A trial ignores a ConfigMap with the same name in another namespace, and a file.
func TestTryLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	if trial := try(t, tried(), "elsewhere", "base", nil); trial.Broken != nil || trial.Rejected != nil {
		t.Errorf("the trial of a missing ConfigMap returned %+v", trial)
	}
	trial := try(t, new(conf.Set), "sidecars", "new", inMap("new", "name: new\nx: 1\n"))
	expect(t, "rejected by the zero set", trial.Rejected, []string{"x: Forbidden"})
}

// keyed returns the documents of the ConfigMap sidecars/keyed.
func keyed(keys map[string]string) []conf.Document {
	return conf.OfConfigMap(
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "sidecars", Name: "keyed"}, Data: keys},
	)
}

// A change is not rejected because of documents that are rejected already and do not change.
func TestTryOfWhatIsRejectedAlready(t *testing.T) {
	t.Parallel()
	const good, bad, heir = "name: good\n", "name: bad\nx: 1\n", "name: heir\ninherits: gone\n"
	set := conf.Load(keyed(map[string]string{"good": good, "bad": bad, "empty": "", "heir": good + "---\n" + heir}), nil)
	for name, test := range map[string]struct {
		keys            map[string]string // those that differ; without content they are removed
		rejected, still []string
	}{
		"unchanged": {nil, nil, []string{"[bad]:2: x", "[empty]: has no", "[heir]:1: name", "[heir]:4: inherits"}},
		"another key": {
			map[string]string{"good": "name: better\n", "more": "name: more\n"}, nil, []string{"[bad]:2", "[empty]", "[heir]:4"},
		},
		"another document": {
			map[string]string{"heir": "name: new\n---\n" + heir}, nil, []string{"[bad]:2", "[empty]", "[heir]:4"},
		},
		"one fixed":   {map[string]string{"bad": "name: bad\n"}, nil, []string{"[empty]", "[heir]:1", "[heir]:4"}},
		"one removed": {map[string]string{"heir": "-"}, nil, []string{"[bad]:2", "[empty]"}},
		"one bad otherwise": {
			map[string]string{"bad": "name: bad\nz: 1\n"}, []string{"[bad]:2: z"}, []string{"[empty]", "[heir]:1", "[heir]:4"},
		},
		"one bad that was": {
			map[string]string{"good": "name: good\nx: 1\n"},
			[]string{"[good]:2: x"},
			[]string{"[bad]:2", "[empty]", "[heir]:1", "[heir]:4"},
		},
		"empty, now bad": {
			map[string]string{"empty": "x"}, []string{"[empty]:1"}, []string{"[bad]:2", "[heir]:1", "[heir]:4"},
		},
		"bad, now empty": {
			map[string]string{"bad": "\n"}, []string{"[bad]: has no"}, []string{"[empty]", "[heir]:1", "[heir]:4"},
		},
		"bad in another key": {
			map[string]string{"bad": "-", "zzz": bad}, []string{"[zzz]:2: x"}, []string{"[empty]", "[heir]:1", "[heir]:4"},
		},
		"taken from itself": {
			map[string]string{"aaa": "name: good\n"},
			[]string{"[good]:1: name"},
			[]string{"[bad]:2", "[empty]", "[heir]:1", "[heir]:4"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keys := map[string]string{"good": good, "bad": bad, "empty": "", "heir": good + "---\n" + heir}
			maps.Copy(keys, test.keys)
			maps.DeleteFunc(keys, func(_, content string) bool { return content == "-" })
			trial := try(t, set, "sidecars", "keyed", keyed(keys))
			expect(t, "rejected", trial.Rejected, test.rejected)
			expect(t, "still rejected", trial.Still, test.still)
			expect(t, "broken", trial.Broken, nil)
		})
	}
}
