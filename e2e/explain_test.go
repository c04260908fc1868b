package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// explain runs the command explain on a pod, and returns standard output and standard error.
func (s *scene) explain(pod string, flags ...string) (output, report string, ok bool) {
	s.Helper()
	args := append([]string{"explain", "-f", "-", "-n", s.namespace}, flags...)
	command := exec.CommandContext(s.Context(), filepath.Join(bin, "k8s-sidecar-injector"), args...)
	var stdout, stderr bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(pod), &stdout, &stderr
	err := command.Run()
	if _, failed := errors.AsType[*exec.ExitError](err); !failed {
		must(s.T, err)
	}
	return stdout.String(), stderr.String(), err == nil
}

// TestExplain checks that explain reads definitions from ConfigMaps and defaults of namespaces, with
// exactly the rights of the injector.
func TestExplain(t *testing.T) {
	t.Parallel()
	const plain = `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, ` +
		`"spec": {"containers": [{"name": "app", "image": "i"}]}}`
	s := newScene(t, shared)
	id := s.identity()
	must(t, s.GrantNamespaces(t.Context(), s.namespace, "injector", "get"))
	must(t, s.apply("a", sidecar("x", "one")))
	must(t, s.apply("b", "name: [\n"))
	flags := append(s.configMapFlags(id),
		"--namespace-defaults", "--config-directory="+s.directory(sidecar("file", "two")))

	output, report, ok := s.explain(plain, flags...)
	equal(t, "the decision without a request of the namespace", output,
		fmt.Sprintf("Pod %s/p: skipped, no_annotation\n", s.namespace))
	if !ok || !strings.HasPrefix(report, "rejected: configmap "+s.namespace+"/b[sidecar.yaml]:2: ") {
		t.Errorf("got %s on standard error", report)
	}

	s.annotate(new("x,file"))
	output, report, _ = s.explain(plain, append(flags, "-o", "json")...)
	var explained struct {
		Items []struct {
			Reason   string
			Elements []struct {
				Field, Name, Origin string
				Added               bool
			}
		}
	}
	if err := json.Unmarshal([]byte(output), &explained); err != nil || len(explained.Items) != 1 {
		t.Fatalf("%v: %s%s", err, output, report)
	}
	item := explained.Items[0]
	equal(t, "the reason", item.Reason, "namespace_default")
	equal(t, "the elements", fmt.Sprint(item.Elements),
		fmt.Sprintf("[{containers one configmap %s/a[sidecar.yaml] true} {containers two file %s true}]",
			s.namespace, fileOf(flags)))

	edited, err := yaml.Marshal(corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: labelled()},
		Data:       map[string]string{"edited": sidecar("x", "edited") + "---\n" + sidecar("file", "two")},
	})
	must(t, err)
	output, report, _ = s.explain(plain, append(flags, "--config-directory="+s.directory(string(edited)))...)
	if want := "x:latest from configmap " + s.namespace + "/a[edited]"; !strings.Contains(output, want) ||
		strings.Contains(report, "Duplicate") {
		t.Errorf("with an edited manifest: %s%s, want %q", output, report, want)
	}

	denied := append(s.configMapFlags(id), "--configmap-namespace=default")
	output, report, ok = s.explain(plain, denied...)
	if ok || output != "" ||
		!strings.Contains(report, "--configmap-labels: cannot list configmaps in namespace default: ") ||
		!strings.Contains(report, "forbidden") {
		t.Errorf("without the right: %s%s", output, report)
	}
}

// fileOf returns the file of s.directory in the last flag.
func fileOf(flags []string) string {
	return filepath.Join(strings.TrimPrefix(flags[len(flags)-1], "--config-directory="), "sidecars.yaml")
}

// TestExplainCustomKind explains an object of a custom kind, which is found by discovery.
func TestExplainCustomKind(t *testing.T) {
	t.Parallel()
	const definition = `{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": {"name": "rolls.explain.example.com"},
		"spec": {"group": "explain.example.com", "scope": "Namespaced",
			"names": {"kind": "Roll", "singular": "roll", "plural": "rolls", "shortNames": ["rl"]},
			"versions": [{"name": "v1", "served": true, "storage": true,
				"schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}}`
	s := newScene(t, shared)
	must(t, s.AddInstallation(t.Context(), s.namespace, "injector", s.configMapFlags(s.identity())[:2]))
	must(t, s.apply("a", sidecar("x", "one")))
	file := filepath.Join(t.TempDir(), "definition.json")
	must(t, os.WriteFile(file, []byte(definition), 0o600))
	s.kubectl("create", "-f", file)
	s.kubectl("wait", "--for=condition=Established", "crd/rolls.explain.example.com")
	must(t, os.WriteFile(file+".object", fmt.Appendf(nil, `{"apiVersion": "explain.example.com/v1", "kind": "Roll",
		"metadata": {"name": "web"}, "spec": {"template": {"metadata": {"annotations": {%q: "x"}},
			"spec": {"containers": [{"name": "app", "image": "i"}]}}}}`, request), 0o600))
	s.kubectl("create", "-n", s.namespace, "-f", file+".object")
	for _, name := range []string{"roll", "rl.v1.explain.example.com"} {
		got := s.run("k8s-sidecar-injector", "explain", name+"/web", "-n", s.namespace, "--kubeconfig="+s.Kubeconfig,
			"--injector="+s.namespace+"/injector")
		if !strings.HasPrefix(got, "Roll "+s.namespace+"/web: injected: x:latest@") {
			t.Errorf("%s: got %s", name, got)
		}
	}
}
