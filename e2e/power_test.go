package e2e_test

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// privileged returns a sidecar that mounts the node's logs by hostPath.
func privileged(ref string) string {
	return sidecar(ref, "strong") + "volumes: [{name: logs, hostPath: {path: /var/log}}]\n"
}

// TestPrivilegedConfigMapRejected checks that a definition in a ConfigMap which needs the level privileged is denied by
// the webhook and rejected by the loader, and that others are served.
func TestPrivilegedConfigMapRejected(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	id := s.identity()
	base := "--config-directory=" + s.directory(privileged("base"))
	strict := s.start(append(s.configMapFlags(id), base)...)
	must(t, strict.AwaitReady(t.Context()))
	s.register(strict, nil)

	must(t, s.apply("unasked", privileged("strong")))
	must(t, s.apply("heir", "name: heir\ninherits: base\n"))
	must(t, s.apply("good", sidecar("good", "plain")))
	s.awaitContainers("good", "app,plain")
	s.awaitContainers("base", "app,strong")
	for name, want := range map[string]string{
		"unasked": `:1: violates the Pod Security level baseline: hostPath volumes`,
		"heir":    `:2: inherits: Forbidden: with what it inherits from "base": hostPath volumes`,
	} {
		s.awaitLine(strict, "document rejected", "configmap "+s.namespace+"/"+name+"[sidecar.yaml]"+want)
	}
	for _, asks := range []string{"strong", "heir"} {
		if got := containers(s.create(pod(asks, asks))); got != "app" {
			t.Errorf("a pod that requests %s has %s", asks, got)
		}
	}

	s.registerValidating(strict)
	err := s.apply("asked", privileged("asked"))
	for _, want := range []string{
		"denied the request: these definitions would be rejected",
		"move it to a file, or have the operator start with --privileged-sources=files,configmaps",
		`/asked[sidecar.yaml]:1: violates the Pod Security level baseline: hostPath volumes`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want %q in it", err, want)
		}
	}
	must(t, s.apply("fine", sidecar("fine", "plain")))
}

func TestPrivilegedConfigMapAllowed(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	i := s.follow("--privileged-sources=files,configmaps")
	s.registerValidating(i)
	must(t, s.apply("strong", privileged("strong")))
	s.awaitContainers("strong", "app,strong")
	volumes := s.create(pod("strong", "strong")).Spec.Volumes
	if !slices.ContainsFunc(volumes, func(v corev1.Volume) bool {
		return v.HostPath != nil && v.HostPath.Path == "/var/log"
	}) {
		t.Errorf("got volumes %+v", volumes)
	}
}
