package e2e_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

// TestHelmTest starts `helm test`, and does what the kubelet would do: it runs the command of the pod with the identity
// of the pod, and writes the exit code to its status.
func TestHelmTest(t *testing.T) {
	t.Parallel()
	i := installChart(t, "sample=true", "replicas=1")
	i.start(i.pods(1))
	i.awaitInjection()

	output, err := i.helmTest()
	if err != nil || !strings.Contains(output, "sidecar greeter:v1 was injected into a trial pod in namespace default; "+
		"containers: greeter") {
		t.Errorf("%v: %s", err, output)
	}
	left := i.kubectl("get", "serviceaccount,role,rolebinding", "--all-namespaces", "-o", "name")
	if strings.Contains(left, "sidecar-injector-test") {
		t.Errorf("left after the test: %s", left)
	}
	if got := i.kubectl("get", "pods", "--namespace=default", "-o", "name"); got != "" {
		t.Errorf("the trial pod was created: %s", got)
	}

	i.helm("upgrade", home, chart, "--namespace="+home, "--reuse-values", "--set=test.sidecar=missing:v1")
	if output, err = i.helmTest(); err == nil || !strings.Contains(output, "sidecar missing:v1 was not injected") ||
		!strings.Contains(output, "unknown_sidecar") {
		t.Errorf("with an unknown sidecar: %v: %s", err, output)
	}
	i.helm("upgrade", home, chart, "--namespace="+home, "--reuse-values", "--set=test.namespace=kube-system")
	if output, err = i.helmTest(); err == nil || !strings.Contains(output, "without an answer of the webhook") {
		t.Errorf("with an excluded namespace: %v: %s", err, output)
	}
}

// helmTest runs `helm test`, and the command of its pod. It returns the output of the command, and the error of Helm.
func (i *installation) helmTest() (output string, err error) {
	i.Helper()
	pods := i.client().CoreV1().Pods(home)
	_ = pods.Delete(i.Context(), home+"-test", metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))})
	helm := exec.CommandContext(i.Context(), filepath.Join(bin, "helm"), "test", home, "--namespace="+home,
		"--timeout=1m", "--kubeconfig="+i.Kubeconfig)
	must(i.T, helm.Start())
	var pod *corev1.Pod
	i.await("the pod of the test", func() (err error) {
		pod, err = pods.Get(i.Context(), home+"-test", metav1.GetOptions{})
		return err
	})
	i.wantUnselected(pod)
	id, err := i.Identity(i.Context(), home, pod.Spec.ServiceAccountName)
	must(i.T, err)
	command := exec.CommandContext(i.Context(), filepath.Join(bin, "k8s-sidecar-injector"),
		append(pod.Spec.Containers[0].Args, "--kubeconfig="+id.Kubeconfig)...)
	text, err := command.CombinedOutput()
	pod.Status.Phase = corev1.PodSucceeded
	if err != nil {
		pod.Status.Phase = corev1.PodFailed
	}
	_, err = pods.UpdateStatus(i.Context(), pod, metav1.UpdateOptions{})
	must(i.T, err)
	return string(text), helm.Wait()
}

// wantUnselected verifies that the Service and the Deployment of the chart do not select a pod.
func (i *installation) wantUnselected(pod *corev1.Pod) {
	i.Helper()
	service, err := i.client().CoreV1().Services(home).Get(i.Context(), home, metav1.GetOptions{})
	must(i.T, err)
	if labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(pod.Labels)) {
		i.Errorf("the Service selects the pod of the test: %v", pod.Labels)
	}
}

// TestChartTest checks which sidecar and namespace are tested, and that all objects of the test are hooks.
func TestChartTest(t *testing.T) {
	t.Parallel()
	const start, annotations = "check --trial --sidecar=", " --annotation-namespace=injector.tumblr.com"
	for value, want := range map[string]string{
		"sample=false":                  start + " --namespace=default" + annotations,
		"sample=true":                   start + "greeter:v1 --namespace=default" + annotations,
		"test.sidecar=logger:v1":        start + "logger:v1 --namespace=default" + annotations,
		"test.namespace=shop":           start + " --namespace=shop" + annotations,
		"annotationNamespace=a.example": start + " --namespace=default --annotation-namespace=a.example",
		"test.enabled=false":            "",
	} {
		got := ""
		for document := range strings.SplitSeq(render(t, value), "\n---\n") {
			var pod corev1.Pod
			must(t, yaml.Unmarshal([]byte(document), &pod))
			if !strings.HasSuffix(pod.Name, "-test") {
				continue
			}
			equal(t, "the hook of "+pod.Kind, pod.Annotations["helm.sh/hook"], "test")
			if pod.Kind == "Pod" {
				got = strings.Join(pod.Spec.Containers[0].Args, " ")
			}
		}
		equal(t, "the arguments with "+value, got, want)
	}
}
