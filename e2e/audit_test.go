package e2e_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestAuditLog checks the webhook's annotations in the API server's audit log.
func TestAuditLog(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	s.inject(logger, "--on-unknown=deny")
	stored := s.create(pod("good", "logger:v1"))
	_, err := s.client().CoreV1().Pods(s.namespace).Create(t.Context(), pod("bad", "nobody"), metav1.CreateOptions{})
	if err == nil {
		t.Error("the pod was not denied")
	}
	for name, want := range map[string]map[string]any{
		"good": {
			"outcome":    "injected",
			"reason":     "injected",
			"sidecars":   stored.Annotations["injector.tumblr.com/injected"],
			"generation": "1",
			// The API server invokes the webhook again, because it adds the token to the added container.
			"reinvocation": "already_injected",
		},
		"bad": {"outcome": "denied", "reason": "unknown_sidecar", "generation": "1"},
	} {
		if diff := cmp.Diff(want, s.audited("injector.example.com", name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestAuditLogOfSeveral checks the annotations for several sidecars, in the order of the request, and
// for the request of a namespace.
func TestAuditLogOfSeveral(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	s.annotate(new("one"))
	must(t, s.startDefaults("get", "list", "watch").AwaitReady(t.Context()))
	for _, c := range []struct {
		pod              *corev1.Pod
		reason, sidecars string
	}{
		{pod("several", "two,one"), "injected", `^two:latest@[0-9a-f]{12},one:latest@[0-9a-f]{12}$`},
		{withoutRequest("default"), "namespace_default", `^one:latest@[0-9a-f]{12}$`},
	} {
		injected := s.create(c.pod).Annotations["injector.tumblr.com/injected"]
		if !regexp.MustCompile(c.sidecars).MatchString(injected) {
			t.Errorf("the annotation injected of %s is %q", c.pod.Name, injected)
		}
		want := map[string]any{
			"outcome": "injected", "reason": c.reason, "sidecars": injected, "generation": "1",
			"reinvocation": "already_injected",
		}
		if diff := cmp.Diff(want, s.audited("injector.example.com", c.pod.Name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.pod.Name, diff)
		}
	}
}

// audited returns a webhook's annotations of the audit entry for the creation of a pod.
func (s *scene) audited(webhook, pod string) map[string]any {
	s.Helper()
	var annotations map[string]any
	s.await("the audit log to have the pod "+pod, func() error {
		lines, err := s.AuditLog()
		if err != nil {
			return err
		}
		for _, line := range lines {
			object, _ := line["objectRef"].(map[string]any)
			if object["namespace"] == s.namespace && object["name"] == pod {
				annotations, _ = line["annotations"].(map[string]any)
				return nil
			}
		}
		return errors.New("not found")
	})
	ours := make(map[string]any)
	for key, value := range annotations {
		if name, found := strings.CutPrefix(key, webhook+"/"); found {
			ours[name] = value
		}
	}
	return ours
}
