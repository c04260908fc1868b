package conf_test

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"k8s-sidecar-injector/conf"
)

// loadFile loads one file of testdata as if it stood alone in the directory conf.
func loadFile(t *testing.T, path string) *conf.Set {
	t.Helper()
	name := filepath.Base(path)
	content := readFile(t, path)
	files := fstest.MapFS{name: {Data: content}}
	return conf.Load(conf.Split(file(name, 0), content, files), nil)
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

// checkJSON wants every element to be one JSON object that bears its name.
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
	mounts, env := slices.Clone(s.VolumeMounts), slices.Clone(s.Env)
	for _, c := range slices.Concat(s.PrependInitContainers, s.InitContainers, s.PrependContainers, s.Containers) {
		list = append(list, c.Element)
		env = append(env, c.Env...)
		mounts = append(mounts, c.VolumeMounts...)
	}
	for _, e := range env {
		list = append(list, e.Element)
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

// A new string type of the Kubernetes API is either an enum, whose values we check, or free
// text, which somebody has decided here.
func TestEveryStringTypeIsSorted(t *testing.T) {
	t.Parallel()
	free := []reflect.Type{
		reflect.TypeFor[corev1.Capability](),                 // the kernel's, which grow
		reflect.TypeFor[corev1.ResourceName](),               // open by design
		reflect.TypeFor[corev1.StorageMedium](),              // HugePages-SIZE is open; validateEmptyDir checks it
		reflect.TypeFor[types.UID](),                         // the API server's
		reflect.TypeFor[metav1.ManagedFieldsOperationType](), // the API server's
		reflect.TypeFor[resource.Format](),                   // inside Quantity, which decodes itself
	}
	found := make(map[reflect.Type]string)
	walk(conf.Format(), "", make(map[reflect.Type]bool), found)
	for named, path := range found {
		switch isEnum := len(conf.Enum(named)) > 0; {
		case isEnum == slices.Contains(free, named):
			t.Errorf("%s (at %s) must be either an enum or free text: enum is %v", named, path, isEnum)
		case isEnum && slices.Contains(conf.Enum(named), ""):
			t.Errorf("%s allows the empty string by name", named)
		}
	}
	for _, named := range free {
		if found[named] == "" {
			t.Errorf("%s is not part of the format any more", named)
		}
	}
	if len(found) < 25 {
		t.Errorf("the walk found %d string types only", len(found))
	}
}

// walk finds the named string types that are reachable, with the path of one place each.
func walk(in reflect.Type, path string, seen map[reflect.Type]bool, found map[reflect.Type]string) {
	if seen[in] {
		return
	}
	seen[in] = true
	switch in.Kind() { //nolint:exhaustive // the others lead to no strings
	case reflect.Pointer, reflect.Slice:
		walk(in.Elem(), path, seen, found)
	case reflect.Map:
		walk(in.Key(), path, seen, found)
		walk(in.Elem(), path, seen, found)
	case reflect.Struct:
		for f := range in.Fields() {
			walk(f.Type, strings.TrimPrefix(path+"."+f.Name, "."), seen, found)
		}
	case reflect.String:
		if in.PkgPath() != "" {
			found[in] = path
		}
	}
}
