package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// TestHelmUpgrade checks that an upgrade changes the values and keeps the caBundle, which the program owns. The
// release has the values of an older chart.
func TestHelmUpgrade(t *testing.T) {
	t.Parallel()
	i := installChartFrom(t, olderChart(t, "image", "replicas", "sample", "tls", "resources"), "sample=true")
	i.pods(2)
	i.setBundle(i.ca(t))
	i.helm("upgrade", home, chart, "--namespace="+home, "--reuse-values", "--set=replicas=3", "--set=onUnknown=deny",
		"--set=webhook.failurePolicy=Fail", "--set=resources.limits.memory=768Mi", "--set=validation.enabled=false",
		"--set=workloads.enabled=false", "--set=sample=false")
	var deployment *appsv1.Deployment
	deployment, err := i.client().AppsV1().Deployments(home).Get(t.Context(), home, metav1.GetOptions{})
	must(t, err)
	container := deployment.Spec.Template.Spec.Containers[0]
	equal(t, "the number of replicas", *deployment.Spec.Replicas, 3)
	equal(t, "the limit", container.Resources.Limits.Memory().String(), "768Mi")
	if args := strings.Join(container.Args, " "); !strings.Contains(args, "--on-unknown=deny") {
		t.Errorf("got arguments %s", args)
	}
	configurations := i.client().AdmissionregistrationV1().MutatingWebhookConfigurations()
	configuration, err := configurations.Get(t.Context(), home, metav1.GetOptions{})
	must(t, err)
	equal(t, "the failure policy", *configuration.Webhooks[0].FailurePolicy, admissionregistrationv1.Fail)
	equal(t, "the caBundle", string(i.bundle()), string(i.ca(t)))
	left := i.kubectl("get", "validatingwebhookconfiguration,configmap", "--namespace="+home, "-o", "name")
	if strings.Contains(left, "injector") {
		t.Errorf("disabled objects still exist: %s", left)
	}
	i.helm("uninstall", home, "--namespace="+home)
	left = i.kubectl("get", "all,secret,configmap,role,rolebinding,networkpolicy,pdb,serviceaccount,"+
		"mutatingwebhookconfiguration,clusterrole", "--namespace="+home, "-o", "name")
	if strings.Contains(left, "/sidecar-injector") {
		t.Errorf("left after uninstalling: %s", left)
	}
}

// olderChart returns a copy of the chart with only these keys of values.yaml. An upgrade with --reuse-values keeps
// the default values of the older chart.
func olderChart(t *testing.T, keys ...string) string {
	t.Helper()
	older := filepath.Join(t.TempDir(), "chart")
	must(t, os.CopyFS(older, os.DirFS(chart)))
	values := make(map[string]any)
	for _, key := range keys {
		value, ok := defaultValues(t)[key]
		if !ok {
			t.Fatalf("values.yaml has no %s", key)
		}
		values[key] = value
	}
	content, err := yaml.Marshal(values)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(older, "values.yaml"), content, 0o600))
	return older
}

// TestHelmTLSMode changes the way of certificates as docs/tls.md does. The injector and kubectl own fields of the
// chart then, so Helm 4 needs --force-conflicts.
func TestHelmTLSMode(t *testing.T) {
	t.Parallel()
	i := installChart(t)
	i.start(i.pods(2))
	i.kill()
	i.kubectl("scale", "deployment/"+home, "--namespace="+home, "--replicas=0")
	file := filepath.Join(t.TempDir(), "ca.crt")
	must(t, os.WriteFile(file, i.ca(t), 0o600))
	args := []string{
		"upgrade", home, chart, "--namespace=" + home, "--reset-then-reuse-values",
		"--set=tls.mode=secret", "--set=tls.secret.name=own", "--set-file=tls.secret.caBundle=" + file,
	}
	helm := exec.CommandContext(t.Context(), filepath.Join(bin, "helm"), append(args, "--kubeconfig="+i.Kubeconfig)...)
	output, err := helm.CombinedOutput()
	if err == nil || !strings.Contains(string(output), "conflict") {
		t.Errorf("without --force-conflicts: %v, %s", err, output)
	}
	i.helm(append(args, "--force-conflicts")...)
	equal(t, "the caBundle", string(i.bundle()), string(i.ca(t)))
	i.pods(2)
}

// ca returns the CA of the cluster.
func (s *scene) ca(t *testing.T) []byte {
	t.Helper()
	config, err := s.Config()
	must(t, err)
	return config.CAData
}
