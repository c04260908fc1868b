package conf_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"k8s-sidecar-injector/conf"
)

// TestListing verifies that no list is null, with and without content.
func TestListing(t *testing.T) {
	t.Parallel()
	load := func(content string, previous *conf.Set) *conf.Set {
		documents := conf.Split(conf.Origin{Root: "conf", Name: "a.yaml"}, []byte(content))
		base := conf.Split(conf.Origin{Root: "conf", Name: "base/b.yaml"},
			[]byte("name: base\ncontainers: [{name: b, image: i}]"))
		base[0].BaseOnly = true
		return conf.Load(append(documents, base...), previous)
	}
	const valid = `
name: middle
inherits: base/b.yaml
parameters: {size: {type: int, default: 1, min: 1, max: 9}}
---
name: top
inherits: middle
parameters: {level: {enum: [info, "1"], from: pod.labels.level}, path: {pattern: "/.*", default: "/${pod.name}"}}
allowedNamespaces: [team-*]
os: any
inJobs: native
containers: [{name: t, image: "t:${size}"}, {name: u, image: i}]
---
name: plain
allowedNamespaces: []
`
	first := load(valid, nil)
	set := load(strings.Replace(valid, "name: plain", "name: plain\nenv: 1", 1), first)
	got, err := json.MarshalIndent(set.Listing(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	text := string(got)
	for _, s := range set.Sidecars {
		text = strings.ReplaceAll(text, s.Digest, "digest of "+s.Ref.Name)
	}
	compareGolden(t, "testdata/listing.json", text+"\n")
	if diff := cmp.Diff(conf.Listing{Items: []conf.ListedSidecar{}, Rejections: []conf.ListedRejection{}},
		new(conf.Set).Listing()); diff != "" {
		t.Error(diff)
	}
}

func TestDefinition(t *testing.T) {
	t.Parallel()
	const content = `
name: a
labels: {from: base, base: "1"}
---
name: B
inherits: a
labels: {from: b}
parameters: {x: {}}
env: [{name: X, value: "${x}"}]
`
	set := conf.Load(conf.Split(conf.Origin{Root: "conf", Name: "a.yaml"}, []byte(content)), nil)
	got, err := json.Marshal(set.Sidecars[1].Definition())
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"env":[{"name":"X","value":"${x}"}],"labels":{"base":"1","from":"b"},"name":"b:latest",` +
		`"parameters":{"x":{}}}`
	if string(got) != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
