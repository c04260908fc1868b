package conf_test

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"testing"

	"k8s-sidecar-injector/conf"
)

// loadFile loads one file of testdata as the only file of the directory conf.
func loadFile(t *testing.T, path string) *conf.Set {
	t.Helper()
	name := filepath.Base(path)
	content := readFile(t, path)
	return conf.Load(conf.Split(file(name, 0), content), nil)
}

// To add a rule, add testdata/invalid/<rule>.yaml and run go test ./conf -update.
func TestInvalid(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("testdata", "invalid")
	for _, name := range inputs(t, dir, ".yaml", ".txt") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := loadFile(t, filepath.Join(dir, name+".yaml"))
			if len(set.Rejections) == 0 {
				t.Fatal("nothing was rejected")
			}
			compareGolden(t, filepath.Join(dir, name+".txt"), show(set))
		})
	}
}

// To add an input that must load, add testdata/valid/<rule>.yaml and run go test ./conf -update.
func TestValid(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("testdata", "valid")
	for _, name := range inputs(t, dir, ".yaml", ".txt") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := loadFile(t, filepath.Join(dir, name+".yaml"))
			for _, r := range set.Rejections {
				t.Error(r)
			}
			checkJSON(t, set)
			compareGolden(t, filepath.Join(dir, name+".txt"), show(set))
		})
	}
}

// checkJSON requires that each element is a JSON object with its name.
func checkJSON(t *testing.T, set *conf.Set) {
	t.Helper()
	for _, s := range set.Sidecars {
		for _, alias := range s.HostAliases {
			if !json.Valid(alias.JSON) {
				t.Errorf("%s: not JSON: %s", s.Ref, alias.JSON)
			}
		}
		for _, e := range elementsOf(s) {
			var object struct{ Name *string }
			if err := json.Unmarshal(e.JSON, &object); err != nil {
				t.Errorf("%s: not JSON: %s: %v", s.Ref, e.JSON, err)
			} else if object.Name == nil || *object.Name != e.Name {
				t.Errorf("%s: the element %q is %s", s.Ref, e.Name, e.JSON)
			}
		}
	}
}

func elementsOf(s *conf.Sidecar) []conf.Element {
	list := slices.Concat(s.Volumes, s.ImagePullSecrets)
	list = append(list, s.Env...)
	mounts := slices.Clone(s.VolumeMounts)
	for _, c := range slices.Concat(s.PrependInitContainers, s.InitContainers, s.PrependContainers, s.Containers) {
		list = append(list, c.Element)
		list = append(list, c.Env...)
		mounts = append(mounts, c.VolumeMounts...)
	}
	for _, m := range mounts {
		list = append(list, m.Element)
	}
	return list
}

func TestSamplesLoad(t *testing.T) {
	t.Parallel()
	documents, err := conf.Documents(conf.Samples(), "conf")
	if err != nil {
		t.Fatal(err)
	}
	set := conf.Load(documents, nil)
	for _, r := range set.Rejections {
		t.Error(r)
	}
	checkJSON(t, set)
	var refs []string
	for _, s := range set.Sidecars {
		refs = append(refs, s.Ref.String())
	}
	want := []string{"envoy:v1", "logger:v1", "metrics:v1", "telemetry-base:v1"}
	if !slices.Equal(refs, want) {
		t.Errorf("the samples are %q, want %q", refs, want)
	}
}
