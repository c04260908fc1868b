package conf_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
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

// To add a warning, add testdata/warnings/<rule>.yaml and run go test ./conf -update.
func TestWarnings(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("testdata", "warnings")
	for _, name := range inputs(t, dir, ".yaml", ".txt") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := loadFile(t, filepath.Join(dir, name+".yaml"))
			for _, r := range set.Rejections {
				t.Error(r)
			}
			var text strings.Builder
			for _, s := range set.Sidecars {
				fmt.Fprintf(&text, "%s is %s, %q\n", s.Ref, s.Level, s.Violations)
				for _, warning := range s.Warnings {
					fmt.Fprintf(&text, "  %s\n", warning)
				}
			}
			compareGolden(t, filepath.Join(dir, name+".txt"), text.String())
		})
	}
}

// checkJSON requires that each element is JSON, with its name if it has one.
func checkJSON(t *testing.T, set *conf.Set) {
	t.Helper()
	for _, s := range set.Sidecars {
		check := func(field string, elements ...conf.Element) {
			named := slices.Contains([]string{"containers", "volumes", "volumeMounts", "env", "imagePullSecrets"}, field)
			for _, e := range elements {
				var object struct{ Name *string }
				switch {
				case !json.Valid(e.JSON):
					t.Errorf("%s: not JSON: %s", s.Ref, e.JSON)
				case named && (json.Unmarshal(e.JSON, &object) != nil || object.Name == nil || *object.Name != e.Name):
					t.Errorf("%s: the element %q is %s", s.Ref, e.Name, e.JSON)
				}
			}
		}
		content := s.Content()
		for field, elements := range content.Elements {
			check(field, elements...)
		}
		for _, c := range slices.Concat(
			content.PrependInitContainers, content.InitContainers, content.PrependContainers, content.Containers,
		) {
			check("containers", c.Element)
			for _, field := range []string{"env", "envFrom", "volumeMounts"} {
				elements := c.Elements.Of(field)
				check(field, elements...)
			}
		}
	}
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
