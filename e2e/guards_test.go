package e2e_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// bounded are a sidecar for other namespaces than those of tests, and one for these but not for pods with
// hostNetwork.
const bounded = `name: away
allowedNamespaces: ['team-*']
containers: [{name: away, image: i}]
---
name: here
allowedNamespaces: ['e2e-*']
skipHostNetworkPods: true
containers: [{name: here, image: i}]
`

// Definitions say who may have them. The policy decides about the namespace, and not about hostNetwork.
func TestGuards(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"admit", "deny"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, shared)
			s.inject(bounded, "--on-unknown="+policy)

			stored, warnings := s.createWarned(pod("allowed", "here"))
			equal(t, "the list of containers of one that may", containers(stored), "app,here")
			equal(t, "what it is warned of", warnings, "")

			onHost := pod("host", "here")
			onHost.Spec.HostNetwork = true
			stored, warnings = s.createWarned(onHost)
			equal(t, "the list of containers of one with hostNetwork", containers(stored), "app")
			equal(t, "what it is warned of", warnings,
				"sidecar injector: the pod is admitted without sidecars: host_network: sidecar here:latest skips pods with hostNetwork")

			s.checkElsewhere(policy)
		})
	}
}

// checkElsewhere checks what becomes of a pod that asks for the sidecar of other namespaces, also
// beside one that it may have.
func (s *scene) checkElsewhere(policy string) {
	s.Helper()
	why := `not_allowed: sidecar away:latest is not allowed in namespace "` + s.namespace + `": allowedNamespaces does not include it`
	if policy == "deny" {
		_, err := s.client().CoreV1().Pods(s.namespace).Create(s.Context(), pod("elsewhere", "here,away"), metav1.CreateOptions{})
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "denied the request: "+why) {
			s.Errorf("the error is %v", err)
		}
		return
	}
	stored, warnings := s.createWarned(pod("elsewhere", "here,away"))
	equal(s.T, "the list of containers of one elsewhere", containers(stored), "app")
	equal(s.T, "what it is warned of", warnings, "sidecar injector: the pod is admitted without sidecars: "+why)
}

// createWarned makes a pod and gives it as it was stored, with the API server's warnings, a line each.
func (s *scene) createWarned(p *corev1.Pod) (stored *corev1.Pod, texts string) {
	s.Helper()
	client, w := s.warned()
	stored, err := client.CoreV1().Pods(s.namespace).Create(s.Context(), p, metav1.CreateOptions{})
	must(s.T, err)
	w.mu.Lock()
	defer w.mu.Unlock()
	return stored, strings.Join(w.list, "\n")
}
