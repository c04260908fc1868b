package e2e_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// bounded has a sidecar that is not allowed in the namespaces of tests, and one that is allowed there but
// skips pods with hostNetwork.
const bounded = `name: away
allowedNamespaces: ['team-*']
containers: [{name: away, image: i}]
---
name: here
allowedNamespaces: ['e2e-*']
skipHostNetworkPods: true
containers: [{name: here, image: i}]
`

// TestGuards checks allowedNamespaces, with --on-unknown, and skipHostNetworkPods.
func TestGuards(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"admit", "deny"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, shared)
			s.inject(bounded, "--on-unknown="+policy)

			stored, warnings := s.createWarned(pod("allowed", "here"))
			equal(t, "the containers of an allowed pod", containers(stored), "app,here")
			equal(t, "the warning", warnings, "")

			onHost := pod("host", "here")
			onHost.Spec.HostNetwork = true
			stored, warnings = s.createWarned(onHost)
			equal(t, "the containers of a pod with hostNetwork", containers(stored), "app")
			equal(t, "the warning", warnings,
				"sidecar injector: the pod is admitted without sidecars: host_network: "+
					"sidecar here:latest skips pods with hostNetwork")

			s.checkNotAllowed(policy)
		})
	}
}

// checkNotAllowed checks the decision about a pod that requests a sidecar which is not allowed in its
// namespace, also together with one that is.
func (s *scene) checkNotAllowed(policy string) {
	s.Helper()
	why := `not_allowed: sidecar away:latest is not allowed in namespace "` + s.namespace +
		`": allowedNamespaces does not include it`
	if policy == "deny" {
		pods := s.client().CoreV1().Pods(s.namespace)
		_, err := pods.Create(s.Context(), pod("elsewhere", "here,away"), metav1.CreateOptions{})
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "denied the request: "+why) {
			s.Errorf("got error %v", err)
		}
		return
	}
	stored, warnings := s.createWarned(pod("elsewhere", "here,away"))
	equal(s.T, "the containers of a pod that is not allowed", containers(stored), "app")
	equal(s.T, "the warning", warnings, "sidecar injector: the pod is admitted without sidecars: "+why)
}

// createWarned creates a pod and returns it as stored, with the API server's warnings, one a line.
func (s *scene) createWarned(p *corev1.Pod) (stored *corev1.Pod, texts string) {
	s.Helper()
	client, w := s.warned()
	stored, err := client.CoreV1().Pods(s.namespace).Create(s.Context(), p, metav1.CreateOptions{})
	must(s.T, err)
	return stored, w.text()
}
