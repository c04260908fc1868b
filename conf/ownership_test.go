package conf_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s-sidecar-injector/conf"
)

// created returns the documents of a ConfigMap sidecars/NAME with one key and a creation time. Second 0 means that it
// does not exist yet.
func created(second int, name, content string) []conf.Document {
	return createdMap(
		second,
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"k": content}},
	)
}

func atSecond(second int) time.Time {
	return time.Date(2026, 1, 1, 0, 0, second, 0, time.UTC)
}

func createdMap(second int, configMap *corev1.ConfigMap) []conf.Document {
	configMap.Namespace = "sidecars"
	if second > 0 {
		configMap.CreationTimestamp = metav1.NewTime(atSecond(second))
	}
	return conf.OfConfigMap(configMap)
}

// from returns a definition of x that can be identified by its service account.
func from(account string) string {
	return "name: x\nserviceAccountName: " + account + "\n"
}

// accounts lists the sidecars with their service accounts.
func accounts(set *conf.Set) string {
	var all []string
	for _, s := range set.Sidecars {
		text := s.Ref.Name + "="
		for _, account := range s.Elements("serviceAccountName") {
			text += account.Name
		}
		if s.Stale {
			text += " stale"
		}
		all = append(all, text)
	}
	return strings.Join(all, ",")
}

func TestOldestOwnsRef(t *testing.T) {
	t.Parallel()
	at := func(second int, name string) []conf.Document { return created(second, name, from(name)) }
	inFile := conf.Split(file("z.yaml", 0), []byte(from("file")))
	for name, test := range map[string]struct {
		documents []conf.Document
		want      string
	}{
		"older, later name":   {slices.Concat(at(2, "a"), at(1, "z")), "z"},
		"older, earlier name": {slices.Concat(at(1, "a"), at(2, "z")), "a"},
		"same second":         {slices.Concat(at(1, "z"), at(1, "a")), "a"},
		"not created yet":     {slices.Concat(at(0, "a"), at(1, "z")), "z"},
		"neither created":     {slices.Concat(at(0, "z"), at(0, "a")), "a"},
		"three":               {slices.Concat(at(3, "a"), at(1, "m"), at(2, "z")), "m"},
		"file and ConfigMap":  {slices.Concat(at(1, "a"), inFile), "file"},
		"keys of one ConfigMap": {
			slices.Concat(
				at(2, "a"),
				createdMap(1, &corev1.ConfigMap{
					ObjectMeta: metav1.ObjectMeta{Name: "z"}, Data: map[string]string{"k": from("k"), "j": from("j")},
				}),
			),
			"j",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reversed := slices.Clone(test.documents)
			slices.Reverse(reversed)
			set, again := conf.Load(test.documents, nil), conf.Load(reversed, nil)
			if got := accounts(set); got != "x="+test.want {
				t.Errorf("served is %s, want x=%s", got, test.want)
			}
			if !set.Equal(again) {
				t.Error("the order of the documents matters")
			}
			for _, r := range set.Rejections {
				if got := r.Errors.Error(); !strings.Contains(got, "defined first by "+set.Sidecars[0].Origin.String()) {
					t.Errorf("the rejection does not name the owner: %s", got)
				}
			}
		})
	}
}

// unreadableOwners returns documents that are not valid YAML, but whose name x can be read.
func unreadableOwners() map[string]string {
	return map[string]string{
		"bracket":            "name: x\ncontainers: [{\n",
		"name last":          "containers: [}\nname: x\n",
		"tab":                "name: x\ncontainers:\n\t- name: y\n",
		"dedent":             "  name: x\n  env: [\ncontainers:\n- image: i\n  name: y\n",
		"comment first":      "# name: y\n\nname: x # mine\ncontainers: [\n",
		"directive":          "%YAML 1.1\n---\nname: x\ncontainers: [\n",
		"quotes":             "\"name\": 'X:latest'\ncontainers: [\n",
		"missing quote":      "name: \"x\ncontainers: []\n",
		"space in ref":       "name: x: latest\ncontainers: []\n",
		"no space":           "name:x\ncontainers: []\n",
		"tag and anchor":     "name: !!str &n x:latest\ncontainers: [\n",
		"CRLF":               "name: x\r\ncontainers: [\r\n",
		"nested name first":  "containers:\n- name: y\n  image: [\nname: x\n",
		"conflict markers":   "<<<<<<< HEAD\nname: x\n=======\nname: y\n>>>>>>> other\n",
		"not UTF-8":          "name: x\nserviceAccountName: \"\xff\"\n",
		"control character":  "name: x\nserviceAccountName: \"\x01\"\n",
		"unknown alias":      "name: x\nserviceAccountName: *nobody\n",
		"flow":               "{name: x, containers: [{name: y}\n",
		"flow, nested first": "{containers: [{name: y}], env: [{name: Z}], name: x, volumes: [\n",
		"JSON, cut off":      "{\n  \"env\": [{\"name\": \"{,name: y\"}],\n  \"name\": \"x\",\n  \"containers\": [{\"na",
		"JSON, no comma":     "{\"name\": \"x\"\n \"containers\": []}\n",
		"no YAML object":     "name:x\n",
		"quotes in flow":     "{a: it's, b: \"\\\"}\", c: 'it''s', name: x, d: [\n",
	}
}

// The owner keeps its ref on a replica that has never loaded a valid version.
func TestUnreadableOwner(t *testing.T) {
	t.Parallel()
	for name, content := range unreadableOwners() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			owner, younger := created(1, "z-older", content), created(2, "a-younger", from("younger"))
			all := slices.Concat(younger, owner)
			fresh := conf.Load(all, nil)
			if got := show(
				fresh,
			); len(fresh.Sidecars) > 0 ||
				!strings.Contains(got, `name: Duplicate value: "x:latest": defined first by configmap sidecars/z-older[k]`) ||
				!strings.Contains(got, "rejected configmap sidecars/z-older[k]") {
				t.Errorf("a new replica has %s", got)
			}
			before := conf.Load(slices.Concat(younger, created(1, "z-older", from("older"))), nil)
			if got := accounts(conf.Load(all, before)); got != "x=older stale" {
				t.Errorf("a replica that has loaded a valid version serves %s", got)
			}
			expect(
				t,
				"dry run of a younger ConfigMap",
				try(t, conf.Load(owner, nil), "sidecars", "a-younger", created(0, "a-younger", from("younger"))).Rejected,
				[]string{"defined first by configmap sidecars/z-older[k]"},
			)
			if got := accounts(
				conf.Load(slices.Concat(created(1, "z-older", from("fixed")), younger), fresh),
			); got != "x=fixed" {
				t.Errorf("fixed, it serves %s", got)
			}
		})
	}
}

// Names of nested objects, and texts that resemble a name, are not found.
func TestNamelessOwner(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"nothing":        "\x00\x01",
		"empty":          "",
		"nested":         "metadata:\n  name: x\nspec: [\n",
		"list":           "- name: x\n- [\n",
		"flow, nested":   "{metadata: {name: x}, spec: [\n",
		"flow, in text":  "{a: \"{\\\", name: x,\", spec: [\n",
		"comment":        "# name: x\nspec: [\n",
		"other key":      "names: x\nfull-name: x\nspec: [\n",
		"empty name":     "name:\nx: [\n",
		"several words":  "name: x y\nspec: [\n",
		"no ref":         "name: x:y:z\nspec: [\n",
		"in block text":  "text: |\n  name: x\nspec: [\n",
		"a valid number": "name: 1\nx: 1\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := conf.Load(slices.Concat(created(1, "z", content), created(2, "a", from("a"))), nil)
			if got := accounts(set); got != "x=a" || len(set.Rejections) != 1 {
				t.Errorf("got %s", show(set))
			}
		})
	}
}

// A ConfigMap that is rejected as a whole keeps its refs.
func TestOwnerRejectedAsAWhole(t *testing.T) {
	t.Parallel()
	many := series(1001, plain)
	fewKeys, manyKeys := make(map[string]string), make(map[string]string)
	for i := range 1001 {
		manyKeys[fmt.Sprintf("k%04d", i)] = plain(i)
	}
	for i := range 2 {
		fewKeys[fmt.Sprint(i)] = series(600, func(n int) string { return plain(n + 600*i) })
	}
	for name, configMap := range map[string]*corev1.ConfigMap{
		"many documents": {Data: map[string]string{"k": many}},
		"two keys":       {Data: fewKeys},
		"many keys":      {Data: manyKeys},
		"binaryData":     {BinaryData: map[string][]byte{"k": []byte("\xff\nname: c6\n---\n{\"name\": \"c7\"}\n")}},
		"broken as well": {Data: map[string]string{"k": "name: [\n" + many}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			configMap.Name = "z-older"
			owner, younger := createdMap(1, configMap), created(2, "a-younger", "name: c7\n")
			set := conf.Load(slices.Concat(younger, owner), nil)
			if got := show(
				set,
			); len(set.Sidecars) > 0 ||
				!strings.Contains(got, `"c7:latest": defined first by configmap sidecars/z-older`) {
				t.Errorf("got %.500s", got)
			}
			trial := try(t, conf.Load(owner, nil), "sidecars", "a-younger", created(0, "a-younger", "name: c7\n"))
			expect(t, "dry run of a younger ConfigMap", trial.Rejected, []string{"defined first by configmap sidecars/z-older"})
		})
	}
	inFile := conf.Split(file("z.yaml", 0), []byte(many))
	if set := conf.Load(slices.Concat(created(1, "a", "name: c7\n"), inFile), nil); len(set.Sidecars) > 0 {
		t.Errorf("a ConfigMap took a ref from a file: %.500s", show(set))
	}
}

// A rejected ConfigMap claims at most 1000 refs.
func TestClaimsAreBounded(t *testing.T) {
	t.Parallel()
	configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "z"}, Data: make(map[string]string)}
	for i := range 5 {
		configMap.Data[fmt.Sprint(i)] = series(1001, func(n int) string { return fmt.Sprintf("name: c%d\n", n+1001*i) })
	}
	claims := func(ref string) bool {
		set := conf.Load(slices.Concat(createdMap(1, configMap), created(2, "a", "name: "+ref+"\n")), nil)
		return len(set.Sidecars) == 0
	}
	if !claims("c999") || claims("c1000") || claims("c1001") || claims("c4004") {
		t.Errorf(
			"claimed are c999 %t, c1000 %t, c1001 %t, c4004 %t",
			claims("c999"),
			claims("c1000"),
			claims("c1001"),
			claims("c4004"),
		)
	}
}

// The last valid version of the owner wins over a younger ConfigMap. A ConfigMap that is created again is the
// youngest one, and has no last valid version of others.
func TestOwnershipOverTime(t *testing.T) {
	t.Parallel()
	const broken = "name: x\nnonsense: 1\n"
	for name, test := range map[string]struct {
		steps [][]conf.Document
		want  []string
	}{
		"an edit takes a ref, then breaks": {
			[][]conf.Document{
				slices.Concat(created(1, "z", "name: w\n"), created(2, "a", from("a"))),
				slices.Concat(created(1, "z", from("z")), created(2, "a", from("a"))),
				slices.Concat(created(1, "z", broken), created(2, "a", from("a"))),
				slices.Concat(created(1, "z", broken), created(2, "a", broken)),
				slices.Concat(created(1, "z", from("z2")), created(2, "a", broken)),
			},
			[]string{"w=,x=a", "x=z", "x=z stale", "x=z stale", "x=z2"},
		},
		"created again with the same content": {
			[][]conf.Document{
				slices.Concat(created(1, "a", from("a")), created(2, "z", from("z"))),
				slices.Concat(created(3, "a", from("a")), created(2, "z", from("z"))),
			},
			[]string{"x=a", "x=z"},
		},
		"created again and broken": {
			[][]conf.Document{
				slices.Concat(created(1, "a", from("a")), created(2, "z", from("z"))),
				slices.Concat(created(3, "a", "name: [x"), created(2, "z", from("z"))),
			},
			[]string{"x=a", "x=z"},
		},
		"removed": {
			[][]conf.Document{
				slices.Concat(created(1, "z", from("z")), created(2, "a", from("a"))),
				created(2, "a", from("a")),
			},
			[]string{"x=z", "x=a"},
		},
		"one document removed, another unreadable": {
			[][]conf.Document{
				created(1, "z", from("z")+"---\nname: w\n"),
				created(1, "z", "name: w\nenv: [\n"),
				slices.Concat(
					created(1, "z", "name: w\nenv: [\n"), created(2, "a", from("a")),
					created(3, "b", "name: w\nserviceAccountName: b\n"),
				),
			},
			[]string{"w=,x=z", "w= stale,x=z stale", "w= stale,x=a"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var set *conf.Set
			for i, documents := range test.steps {
				set = conf.Load(documents, set)
				if got := accounts(set); got != test.want[i] {
					t.Errorf("step %d serves %s, want %s", i, got, test.want[i])
				}
			}
		})
	}
}

// The base of a ref is its owner, even if the owner is rejected.
func TestInheritsFromTheOwner(t *testing.T) {
	t.Parallel()
	heir := created(3, "heir", "name: heir\ninherits: x\n")
	younger := created(2, "a-younger", from("younger"))
	set := conf.Load(slices.Concat(heir, younger, created(1, "z-older", from("older"))), nil)
	if got := accounts(set); got != "heir=older,x=older" {
		t.Errorf("served is %s", got)
	}
	set = conf.Load(slices.Concat(heir, younger, created(1, "z-older", "name: x\nenv: [\n")), nil)
	if got := show(
		set,
	); len(set.Sidecars) > 0 ||
		!strings.Contains(got, `its base "x" (configmap sidecars/z-older[k]) is rejected`) {
		t.Errorf("with a broken owner: %s", got)
	}
}

// Replicas with the same documents agree, whatever they loaded before.
func TestReplicasAgree(t *testing.T) {
	t.Parallel()
	all := slices.Concat(
		created(2, "a", from("a")),
		created(1, "z", from("z")),
		created(3, "m", from("m")+"---\nname: w\n"),
	)
	fresh := conf.Load(all, nil)
	for name, past := range map[string][]conf.Document{
		"a first":       created(2, "a", from("a")),
		"m first":       created(3, "m", from("m")),
		"an older a":    created(1, "a", from("a")),
		"z was broken":  slices.Concat(created(2, "a", from("a")), created(1, "z", "name: [")),
		"z was another": slices.Concat(created(2, "a", from("a")), created(1, "z", "name: other\n")),
	} {
		if set := conf.Load(all, conf.Load(past, nil)); set.Digest != fresh.Digest || !set.Equal(fresh) {
			t.Errorf("%s: %s, want %s", name, show(set), show(fresh))
		}
	}
}

func TestTryNamesTheOwner(t *testing.T) {
	t.Parallel()
	set := conf.Load(slices.Concat(
		created(1, "old", "name: old\n"),
		created(2, "z-older", from("older")),
		created(3, "broken", "name: broken\nnonsense: 1\n"),
		created(3, "unreadable", "name: unreadable\nenv: [\n"),
	), nil)
	for name, test := range map[string]struct {
		second         int
		place, content string
		rejected       []string
		broken         []string
	}{
		"a new one": {
			0, "a-younger", from("younger"), []string{"defined first by configmap sidecars/z-older[k]"}, nil,
		},
		"a new one, broken owner": {
			0, "a-younger", "name: broken\n", []string{"defined first by configmap sidecars/broken[k]"}, nil,
		},
		"a new one, no name": {
			0, "a-younger", "name: unreadable\n", []string{"defined first by configmap sidecars/unreadable[k]"}, nil,
		},
		"an edit of the owner": {2, "z-older", from("else"), nil, nil},
		"an edit of an older one": {
			1, "old", from("old"),
			[]string{
				"old[k]:1: name: Duplicate value: \"x:latest\": defined by configmap sidecars/z-older[k], which would lose it",
			},
			[]string{"defined first by configmap sidecars/old[k]"},
		},
		"an older one with a fault": {
			1, "old", from("old") + "x: 1\n",
			[]string{"which would lose it", "x: Forbidden"},
			[]string{"defined first by configmap sidecars/old[k]"},
		},
		"an older one gets a label": {
			1, "label", from("label"),
			[]string{"defined by configmap sidecars/z-older[k], which would lose it"},
			[]string{"defined first by configmap sidecars/label[k]"},
		},
		"an older one, broken owner": {
			1, "old", "name: broken\n", []string{"defined by configmap sidecars/broken[k], which would lose it"}, nil,
		},
		"an older one, no name": {
			1, "old", "name: unreadable\n", []string{"defined by configmap sidecars/unreadable[k], which would lose it"}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trial := try(t, set, "sidecars", test.place, created(test.second, test.place, test.content))
			expect(t, "rejected", trial.Rejected, test.rejected)
			expect(t, "broken", trial.Broken, test.broken)
		})
	}
}

// A stale sidecar belongs to its ConfigMap, even if its document has another name now.
func TestTryOfWhatIsStale(t *testing.T) {
	t.Parallel()
	set := conf.Load(created(1, "z", "name: w\nnonsense: 1\n"), conf.Load(created(1, "z", from("z")), nil))
	if got := accounts(set); got != "x=z stale" {
		t.Fatalf("served is %s", got)
	}
	expect(t, "rejected", try(t, set, "sidecars", "new", created(0, "new", from("new"))).Rejected,
		[]string{"defined by configmap sidecars/z[k], which would lose it"})
}

// Two sets differ if only the owner of a ref differs, because dry runs depend on it.
func TestClaimsAreCompared(t *testing.T) {
	t.Parallel()
	one, other := conf.Load(
		created(1, "z", "name: x\nenv: [\n"),
		nil,
	), conf.Load(
		created(1, "z", "name: w\nenv: [\n"),
		nil,
	)
	if show(one) != show(other) || one.Equal(other) {
		t.Errorf("%s\nand %s\nare equal is %t", show(one), show(other), one.Equal(other))
	}
}

// The time of a scan is linear in the length of the document: milliseconds here. It would be minutes if each entry
// were searched to the end.
func TestScanIsLinear(t *testing.T) {
	t.Parallel()
	start := time.Now()
	for _, content := range []string{
		"{" + strings.Repeat("name:!a,", 1<<17), "{" + strings.Repeat("name:a-", 1<<17),
		strings.Repeat("name:!a", 1<<17) + "\n[",
		strings.Repeat("name:!a\n", 1<<17) + "[", "{" + strings.Repeat(" ,", 1<<19), strings.Repeat("{", 1<<20),
		strings.Repeat("\n", 1<<20) + "[",
	} {
		conf.ScanName([]byte(content))
	}
	if took := time.Since(start); took > 2*time.Minute {
		t.Errorf("it took %s", took)
	}
}

// A document that cannot be decoded defines the ref that its name would be.
func TestScannedVersions(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		`name: "logger:"` + "\n[":   "logger:latest",
		`{name: "logger:", [`:       "logger:latest",
		`name: "logger:v1"` + "\n[": "logger:v1",
		"name: logger:\n  [":        "logger:latest",
	} {
		if got := conf.ScanName([]byte(content)); got.String() != want {
			t.Errorf("%q has the name %s, want %s", content, got, want)
		}
	}
}
