package conf_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"k8s-sidecar-injector/conf"
)

// update rewrites the golden files instead of comparing: go test ./conf -update
var update = flag.Bool("update", false, "write the golden files")

// compareGolden compares with a file, or writes it.
func compareGolden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// inputs returns the names of the files with an extension, without it. The test fails if a golden file is missing or
// has no input. Inputs that have the expected result themselves have no golden files.
func inputs(t *testing.T, dir, ending, golden string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string][]string)
	for _, entry := range entries {
		ext := filepath.Ext(entry.Name())
		names[ext] = append(names[ext], strings.TrimSuffix(entry.Name(), ext))
	}
	if len(names[ending]) == 0 {
		t.Fatalf("%s has no %s files", dir, ending)
	}
	if len(names[ending])+len(names[golden]) != len(entries) {
		t.Errorf("%s has files that are neither %q nor %q", dir, ending, golden)
	}
	if golden != "" && !*update && !slices.Equal(names[ending], names[golden]) {
		t.Errorf(
			"%s: inputs and golden files are not pairs (-inputs +golden):\n%s",
			dir,
			cmp.Diff(names[ending], names[golden]),
		)
	}
	return names[ending]
}

// show formats the public content of a set.
func show(set *conf.Set) string {
	var text strings.Builder
	for _, s := range set.Sidecars {
		showSidecar(&text, s)
	}
	for _, r := range set.Rejections {
		fmt.Fprintf(&text, "rejected %s\n", r.Origin)
		for _, err := range r.Errors.Errors {
			fmt.Fprintf(&text, "  %s\n", err)
		}
		for _, ref := range r.Stale {
			fmt.Fprintf(&text, "  stale %s\n", ref)
		}
	}
	return text.String()
}

func showContents(text *strings.Builder, prefix string, c *conf.Content) {
	showContainers(text, prefix+"prependInitContainer", c.PrependInitContainers)
	showContainers(text, prefix+"initContainer", c.InitContainers)
	showContainers(text, prefix+"prependContainer", c.PrependContainers)
	showContainers(text, prefix+"container", c.Containers)
}

func showSidecar(text *strings.Builder, s *conf.Sidecar) {
	fmt.Fprintf(text, "%s from %s", s.Ref, s.Origin)
	if s.Stale {
		text.WriteString(", stale")
	}
	text.WriteString("\n")
	c := s.Content()
	showContents(text, "", c)
	for _, field := range slices.Sorted(maps.Keys(c.Elements)) {
		showElements(text, "  "+field, c.Elements[field])
	}
	if a := c.AppliesTo; a != nil {
		fmt.Fprintf(text, "  appliesTo containers %q, initContainers %q\n", a.Containers, a.InitContainers)
	}
	if a := c.AppliesTo; a != nil && (a.Sidecars != nil || a.Own != nil) {
		fmt.Fprintf(text, "  appliesTo sidecars %q, own %t\n", a.Sidecars, s.CoversContainersOf(s.Ref))
	}
	for _, from := range c.CopyFrom {
		fmt.Fprintf(text, "  copyFrom %q to %q: env %q, volumeMounts %q\n",
			from.From, from.Container, from.Env, from.VolumeMounts)
	}
	if s.OS != "linux" {
		fmt.Fprintf(text, "  os %s\n", s.OS)
	}
	if s.InJobs != "keep" {
		fmt.Fprintf(text, "  inJobs %s\n", s.InJobs)
	}
	if native := s.ForJobs(); native != s {
		showContents(text, "native: ", native.Content())
	}
	if s.SkipHostNetworkPods {
		text.WriteString("  skipHostNetworkPods\n")
	}
	showParameters(text, s)
	if s.AllowedNamespaces != nil {
		fmt.Fprintf(text, "  allowedNamespaces %q\n", s.AllowedNamespaces)
	}
}

func showParameters(text *strings.Builder, s *conf.Sidecar) {
	for _, p := range s.Parameters {
		if p.Implicit() {
			fmt.Fprintf(text, "  uses %s\n", p.Name)
			continue
		}
		fmt.Fprintf(
			text,
			"  parameter %s %s from %q, pattern %q, enum %q, min %q, max %q",
			p.Name,
			p.Type,
			p.From,
			p.Pattern,
			p.Enum,
			p.Min,
			p.Max,
		)
		if p.Default != nil {
			fmt.Fprintf(text, ", default %q", *p.Default)
		}
		text.WriteString("\n")
	}
}

func showContainers(text *strings.Builder, what string, list []conf.Container) {
	for _, c := range list {
		fmt.Fprintf(text, "  %s %q %s\n", what, c.Name, c.JSON)
		for _, field := range []string{"env", "envFrom", "volumeMounts"} {
			showElements(text, "    "+field, c.Elements.Of(field))
		}
		for _, d := range c.Devices {
			fmt.Fprintf(text, "    device %q at %q\n", d.Name, d.DevicePath)
		}
		for _, p := range c.Ports {
			fmt.Fprintf(text, "    port %d, of the node %d/%s %q\n", p.ContainerPort, p.HostPort, p.Protocol, p.HostIP)
		}
	}
}

func showElements(text *strings.Builder, what string, list []conf.Element) {
	for _, e := range list {
		text.WriteString(what)
		if e.Name != string(e.JSON) {
			fmt.Fprintf(text, " %q", e.Name)
		}
		if e.Value != "" {
			fmt.Fprintf(text, " %q", e.Value)
		}
		fmt.Fprintf(text, " %s\n", e.JSON)
	}
}

// documents returns the documents of a file in the directory conf.
func documents(name, content string) []conf.Document {
	return conf.Split(file(name, 0), []byte(content))
}

// baseOnly returns the documents of a file that is not served.
func baseOnly(name, content string) []conf.Document {
	list := documents(name, content)
	for i := range list {
		list[i].BaseOnly = true
	}
	return list
}

// file returns the origin of a document in the directory conf.
func file(name string, index int) conf.Origin {
	return conf.Origin{Kind: conf.File, Root: "conf", Name: name, Index: index}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(content)
}
