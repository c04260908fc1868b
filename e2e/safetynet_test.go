package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// unreviewed is a part of the message of the safety net.
const unreviewed = "the sidecar injector has not reviewed the pod"

// defaultsLabel is the label of namespaces whose annotation applies to their pods.
const defaultsLabel = "sidecar-injector/defaults"

// TestSafetyNet checks which pods are reported while no replica answers, and that Deny keeps them from being created.
func TestSafetyNet(t *testing.T) {
	t.Parallel()
	i := installChart(t, "sample=true", "namespaceDefaults.enabled=true")
	i.checkTypes(home+"-safety-net", home+"-safety-net-defaults")
	i.start(i.pods(2))
	i.awaitInjection()
	i.checkReviewed()
	i.kill()
	i.await("the pods to be reported", func() error { return i.expectReport(pod("p", "greeter:v1"), "Warning") })
	i.checkReports("Warning")
	i.helm("upgrade", home, chart, "--namespace="+home, "--reuse-values", "--set=safetyNet.action=Deny")
	i.await("the pods to be denied", func() error { return i.expectReport(pod("p", "greeter:v1"), "denied") })
	i.checkReports("denied")
}

// checkReviewed checks that pods that the injector has reviewed are not reported.
func (i *installation) checkReviewed() {
	i.Helper()
	stored, warnings := i.createWarned(pod("injected", "greeter:v1"))
	equal(i.T, "the status", stored.Annotations["injector.tumblr.com/status"], "injected")
	equal(i.T, "the warnings", warnings, "")
	stored, warnings = i.createWarned(pod("skipped", "gretter:v1"))
	equal(i.T, "the status", stored.Annotations["injector.tumblr.com/status"], "skipped: unknown_sidecar")
	if strings.Count(warnings, "\n") > 0 || !strings.Contains(warnings, "there is no sidecar") {
		i.Errorf("the warnings are %q", warnings)
	}
}

// checkReports checks all kinds of pods, in a namespace without and with a default.
func (i *installation) checkReports(how string) {
	i.Helper()
	marked, mirror := pod("p", "greeter:v1"), pod("p", "greeter:v1")
	marked.Annotations["injector.tumblr.com/status"] = "skipped: job"
	mirror.Annotations[corev1.MirrorPodAnnotationKey] = "x"
	mirror.Spec.NodeName = "one"
	silent := []*corev1.Pod{pod("p", ""), pod("p", " None "), marked, withoutRequest("p")}
	for _, p := range silent {
		must(i.T, i.expectReport(p, ""))
	}
	if _, err := i.tryCreate(mirror); err != nil && strings.Contains(err.Error(), unreviewed) {
		i.Errorf("a mirror pod: %v", err)
	}
	i.annotate(new("greeter:v1"))
	must(i.T, i.expectReport(withoutRequest("p"), "")) // the namespace lacks the label
	i.label(defaultsLabel, "enabled")
	i.await("pods of the namespace to be reported", func() error { return i.expectReport(withoutRequest("p"), how) })
	must(i.T, i.expectReport(pod("p", "none"), ""))
	i.annotate(new("none"))
	i.await("pods of the namespace to opt out", func() error { return i.expectReport(withoutRequest("p"), "") })
	i.annotate(nil)
	i.label(defaultsLabel, "disabled")
	there := &installation{scene: &scene{T: i.T, Cluster: i.Cluster, namespace: metav1.NamespaceSystem}}
	must(i.T, there.expectReport(pod("p", "greeter:v1"), ""))
}

// expectReport creates a pod in a dry run. It returns an error unless the safety net reports the pod this way: with a
// Warning, as denied, or not at all.
func (i *installation) expectReport(p *corev1.Pod, how string) error {
	warnings, err := i.tryCreate(p)
	got := ""
	switch {
	case err != nil && strings.Contains(err.Error(), unreviewed):
		got = "denied"
	case err != nil:
		return err
	case strings.Contains(warnings, unreviewed):
		got = "Warning"
	}
	if got != how {
		return fmt.Errorf("a pod with %v: got %q, want %q; warnings: %s", p.Annotations, got, how, warnings)
	}
	return nil
}

// tryCreate creates a pod in a dry run, and returns the warnings.
func (i *installation) tryCreate(p *corev1.Pod) (warnings string, err error) {
	client, w := i.scene.warned()
	_, err = client.CoreV1().Pods(i.namespace).Create(i.Context(), p, dryRun())
	return w.text(), err
}
