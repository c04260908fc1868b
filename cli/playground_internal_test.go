package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/server"
	"k8s-sidecar-injector/store"
)

// playgroundDefinitions have a sidecar that conflicts with any pod, one that needs a parameter, and others.
const playgroundDefinitions = `name: a-conflict
containers: [{name: web, image: clash}]
---
name: b-parameter
parameters: {team: {}}
env: [{name: TEAM, value: "${team}"}]
---
name: logger:v1
parameters: {level: {default: info}}
containers: [{name: logger, image: 'logger:1', args: ['${level}']}]
env: [{name: LOG_DIR, value: /var/log/app}]
---
name: sleeper
containers: [{name: sleeper, image: x, lifecycle: {preStop: {sleep: {seconds: 20}}}}]
`

// newPlayground returns a playground, its store and a config directory with the same definitions.
func newPlayground(t *testing.T, definitions string) (p *playground, snapshots *store.Store, directory string) {
	t.Helper()
	directory = t.TempDir()
	if err := os.WriteFile(filepath.Join(directory, "all.yaml"), []byte(definitions), 0o600); err != nil {
		t.Fatal(err)
	}
	snapshots = new(store.Store)
	snapshots.Publish(conf.Load(conf.Split(conf.Origin{Root: directory, Name: "all.yaml"}, []byte(definitions)), nil))
	policy := &mutate.Policy{
		AnnotationNamespace: "injector.tumblr.com", OnUnknown: mutate.Admit, OnConflict: mutate.Deny,
		IgnoredNamespaces: []string{"kube-system"},
	}
	return &playground{snapshots: snapshots, policy: policy}, snapshots, directory
}

// podOf returns a manifest of a pod that requests sidecars.
func podOf(request string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web # comment\n  annotations: {injector.tumblr.com/request: '" +
		request + "'}\nspec:\n  containers:\n  - name: web\n    image: nginx\n"
}

// command runs a command over a file of manifests. The output has playgroundFile as the name of the file.
func command(file, directory string, args ...string) (code int, out, errOut string) {
	var stdout, stderr bytes.Buffer
	streams := IOStreams{
		In: strings.NewReader(""), Out: &stdout, ErrOut: &stderr, Getenv: func(string) string { return "" },
	}
	code = Run(append(append([]string{programName}, args...), "-f", file, "--config-directory", directory), streams)
	replace := func(text string) string { return strings.ReplaceAll(text, file, playgroundFile) }
	return code, replace(stdout.String()), replace(stderr.String())
}

// textOf returns explanations in the format of the command explain.
func textOf(explanations []server.Explanation) string {
	var pods []string
	for _, x := range explanations {
		var text bytes.Buffer
		separator := ", "
		if x.Outcome == mutate.Injected {
			separator = ": "
		}
		fmt.Fprintf(&text, "%s: %s%s%s\n", x.Pod, x.Outcome, separator, x.Decision)
		for _, note := range x.Notes {
			fmt.Fprintln(&text, note)
		}
		for _, page := range x.Tables {
			t := table(page)
			t.Caption = strings.TrimPrefix(t.Caption, "Parameters")
			t.print(&text)
		}
		pods = append(pods, text.String())
	}
	return strings.Join(pods, "\n")
}

// TestPlaygroundIsLikeTheCommands compares the result with the output of inject, inject --diff and explain.
func TestPlaygroundIsLikeTheCommands(t *testing.T) {
	t.Parallel()
	p, _, directory := newPlayground(t, playgroundDefinitions)
	for name, manifests := range map[string]string{
		"example": p.Example(t.Context()),
		"several": podOf("logger:v1") + "---\n" + podOf("unknown") + "---\napiVersion: v1\nkind: Service\n",
		"list": `{"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"annotations": ` +
			`{"injector.tumblr.com/request": "logger:v1"}}, "spec": {"containers": [{"name": "app"}]}}]}`,
		"unchanged": podOf(""),
		"denied":    podOf("logger:v1") + "---\n" + podOf("a-conflict"),
		"parameter": podOf("b-parameter"),
		"fault":     strings.Replace(podOf("sleeper"), "spec:", "spec:\n  terminationGracePeriodSeconds: 10", 1),
		"syntax":    "a: [\n---\n" + podOf("logger:v1"),
		"object":    "apiVersion: v1\n",
		"empty":     " \n# comment\n",
		"null":      "null\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), playgroundFile)
			if err := os.WriteFile(file, []byte(manifests), 0o600); err != nil {
				t.Fatal(err)
			}
			got := p.Inject(t.Context(), manifests)
			code, injected, report := command(file, directory, "inject")
			_, diff, _ := command(file, directory, "inject", "--diff")
			explainCode, explained, _ := command(file, directory, "explain")
			if (code == 0) != (got.Errors == nil) {
				t.Errorf("the exit code is %d, and the errors are %q", code, got.Errors)
			}
			if difference := cmp.Diff(strings.TrimSpace(injected), strings.TrimSpace(got.Injected)); difference != "" {
				t.Error(difference)
			}
			if got.Diff != diff {
				t.Errorf("the diff is %s, want %s", got.Diff, diff)
			}
			for _, line := range append(got.Results, got.Errors...) {
				if !strings.Contains(report, line+"\n") {
					t.Errorf("%q is not in %s", line, report)
				}
			}
			if difference := cmp.Diff(explained, textOf(got.Explanations)); explainCode == 0 && difference != "" {
				t.Error(difference)
			}
		})
	}
}

// TestPlaygroundExample verifies that the example requests the first sidecar that can be injected, of the snapshot in
// service.
func TestPlaygroundExample(t *testing.T) {
	t.Parallel()
	p, snapshots, _ := newPlayground(t, playgroundDefinitions)
	for _, test := range []struct{ definitions, want string }{
		{playgroundDefinitions, `"logger:v1"`},
		{"name: 1:2\n", `"1:2"`},
		{"name: a\ncontainers: [{name: web, image: x}]\n", `"a:latest"`},
		{"", `"logger:v1"`},
	} {
		origin := conf.Origin{Name: "all.yaml"}
		snapshots.Publish(conf.Load(conf.Split(origin, []byte(test.definitions)), nil))
		if got := p.Example(t.Context()); !strings.Contains(got, "injector.tumblr.com/request: "+test.want+"\n") {
			t.Errorf("%q: the example is\n%s", test.definitions, got)
		}
	}
}

// TestPlaygroundOfManyPods verifies that the number of pods is limited.
func TestPlaygroundOfManyPods(t *testing.T) {
	t.Parallel()
	p, _, _ := newPlayground(t, playgroundDefinitions)
	pod := podOf("logger:v1") + "---\n"
	if got := p.Inject(t.Context(), strings.Repeat(pod, maxPlaygroundPods)); got.Errors != nil ||
		len(got.Explanations) != maxPlaygroundPods {
		t.Errorf("got %q and %d explanations", got.Errors, len(got.Explanations))
	}
	got := p.Inject(t.Context(), strings.Repeat(pod, maxPlaygroundPods+1))
	want := []string{"manifests.yaml: 101 pods; want at most 100"}
	if difference := cmp.Diff(want, got.Errors); difference != "" || got.Explanations != nil || got.Injected != "" {
		t.Errorf("got %v, %d explanations", difference, len(got.Explanations))
	}
}
