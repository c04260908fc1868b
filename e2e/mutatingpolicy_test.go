package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestMutatingAdmissionPolicy applies the policy of docs/mutating-policy.md, and requests its container and a sidecar
// for one pod.
func TestMutatingAdmissionPolicy(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	s.inject("name: agent\ncontainers: [{name: agent, image: agent}]\n" +
		"volumes: [{name: data, emptyDir: {}}]\nvolumeMounts: [{name: data, mountPath: /data}]\n")
	file := filepath.Join(t.TempDir(), "policy.yaml")
	must(t, os.WriteFile(file, []byte(parseBlocks(t, "../docs/mutating-policy.md")[0].text), 0o600))
	s.kubectl("apply", "--filename="+file)
	t.Cleanup(func() {
		api := s.client().AdmissionregistrationV1()
		_ = api.MutatingAdmissionPolicyBindings().Delete(context.Background(), "logger", metav1.DeleteOptions{})
		_ = api.MutatingAdmissionPolicies().Delete(context.Background(), "logger", metav1.DeleteOptions{})
	})

	s.await("a pod with both containers", func() error {
		p := pod("web", "agent")
		p.Annotations["example.com/logger"] = "enabled"
		stored, err := s.client().CoreV1().Pods(s.namespace).Create(t.Context(), p, dryRun())
		if err != nil {
			return err
		}
		// API servers apply policies before webhooks.
		if got := containers(stored); got != "app,logger,agent" || !has(&stored.Spec.Containers[1], "/data") {
			return fmt.Errorf("got %s, and these mounts in the second: %v", got, stored.Spec.Containers[1].VolumeMounts)
		}
		return nil
	})
	equal(t, "the containers of a pod without the annotation", containers(s.create(pod("other", "agent"))), "app,agent")
}
