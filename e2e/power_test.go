package e2e_test

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// strong is a sidecar that reads the node's logs.
func strong(ref string) string {
	return sidecar(ref, "strong") + "volumes: [{name: logs, hostPath: {path: /var/log}}]\n"
}

// What needs power over the node comes from a ConfigMap only where the operator has it so: it is denied,
// and where nobody asks it is rejected, and the others are served.
func TestPowerNeedsConsent(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	id := s.identity()
	base := "--config-directory=" + s.directory(strong("base"))
	strict := s.start(append(s.configMapFlags(id), base)...)
	must(t, strict.AwaitReady(t.Context()))
	s.register(strict, nil)

	must(t, s.apply("unasked", strong("strong")))
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
			t.Errorf("a pod that asks for %s has %s", asks, got)
		}
	}

	s.registerValidating(strict)
	err := s.apply("asked", strong("asked"))
	for _, want := range []string{
		"denied the request: these definitions would be rejected", "move it to a file, or have the operator start with --privileged-sources=files,configmaps",
		`/asked[sidecar.yaml]:1: violates the Pod Security level baseline: hostPath volumes`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %q in it", err, want)
		}
	}
	must(t, s.apply("fine", sidecar("fine", "plain")))
}

func TestPowerWithConsent(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	i := s.follow("--privileged-sources=files,configmaps")
	s.registerValidating(i)
	must(t, s.apply("strong", strong("strong")))
	s.awaitContainers("strong", "app,strong")
	volumes := s.create(pod("strong", "strong")).Spec.Volumes
	if !slices.ContainsFunc(volumes, func(v corev1.Volume) bool { return v.HostPath != nil && v.HostPath.Path == "/var/log" }) {
		t.Errorf("the volumes are %+v", volumes)
	}
}
