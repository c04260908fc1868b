package e2e_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPlugin lists and compares the definitions of an installation as the plugin, with the rights of the docs.
func TestPlugin(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	must(t, s.AddInstallation(t.Context(), s.namespace, "injector", s.configMapFlags(s.identity())[:2]))
	must(t, s.apply("a", sidecar("x", "one")))
	reader := s.reader()
	run := func(args ...string) string {
		args = append(args, "--kubeconfig="+reader.Kubeconfig, "--injector="+s.namespace+"/injector")
		command := exec.CommandContext(t.Context(), filepath.Join(bin, "k8s-sidecar-injector"), args...)
		command.Args[0] = "kubectl-sidecars"
		output, _ := command.CombinedOutput() // differences are an error
		return string(output)
	}
	got := run("list", "-n", s.namespace)
	if !strings.Contains(got, "\nx:latest  configmap "+s.namespace+"/a[sidecar.yaml]  ") {
		t.Errorf("got list %s", got)
	}
	got = run("diff", s.directory(sidecar("y", "two")), "-n", s.namespace)
	if !strings.HasPrefix(got, "+ y:latest (file ") {
		t.Errorf("got diff %s", got)
	}
}
