package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// podVariants returns values about pods and metadata, for TestChartVariants.
func podVariants() map[string][]string {
	return map[string][]string{
		"ports": {"ports.webhook=19443", "ports.lifecycle=19000"},
		"metadata": {
			"commonLabels.team=a",
			`commonAnnotations.example\.com/contact=b`,
			"webhook.annotations.a=b",
			"service.annotations.a=b",
			"serviceAccount.annotations.a=b",
			"podLabels.team=c",
			"sample=true",
			"events.enabled=true",
			"namespaceDefaults.enabled=true",
			"autoscaling.enabled=true",
		},
		"volumes": append(mounted(),
			"extraVolumes[1].name=scratch",
			"extraVolumes[1].emptyDir.sizeLimit=1Mi",
			"extraVolumeMounts[1].name=scratch",
			"extraVolumeMounts[1].mountPath=/scratch"),
		"registry":       {"image.registry=registry.example.com:5000/mirror"},
		"without limits": {"resources=null"},
		"limit of CPU": {
			"autoscaling.enabled=true",
			"autoscaling.minReplicas=6",
			"resources.requests=null",
			"resources.limits.cpu=1",
		},
		"percentage":  {"podDisruptionBudget.maxUnavailable=50%"},
		"shortest CA": {"tls.selfManaged.lifetime=20m", "tls.selfManaged.caLifetime=1h"},
		"repository":  {"image.repository=Registry.example.com:5000/team/a__b/c-d.e"},
		"dashboard elsewhere": {
			"dashboard.enabled=true",
			"commonLabels.app=k8s-sidecar-injector",
			"configMaps.namespace=default",
		},
		"namespace labels": {"webhook.namespaceSelector.matchLabels.team=a", "namespaceDefaults.enabled=true"},
	}
}

// mounted returns values that mount the ConfigMap privileged as a config directory, as docs/privileged.md does.
func mounted() []string {
	return []string{
		"extraVolumes[0].name=definitions",
		"extraVolumes[0].configMap.name=privileged",
		"extraVolumeMounts[0].name=definitions",
		"extraVolumeMounts[0].mountPath=/definitions",
		"extraVolumeMounts[0].readOnly=true",
		"extraArgs[0]=--config-directory=/definitions",
	}
}

// renderFile renders the chart with a file of values.
func renderFile(t *testing.T, values any) string {
	t.Helper()
	content, err := yaml.Marshal(values)
	must(t, err)
	file := filepath.Join(t.TempDir(), "values.yaml")
	must(t, os.WriteFile(file, content, 0o600))
	helm := exec.CommandContext(t.Context(), filepath.Join(bin, "helm"), "template", home, chart,
		"--namespace="+home, "--values="+file)
	output, err := helm.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return string(output)
}

// defaultValues returns the content of values.yaml.
func defaultValues(t *testing.T) map[string]any {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(chart, "values.yaml"))
	must(t, err)
	var values map[string]any
	must(t, yaml.Unmarshal(content, &values))
	return values
}

// TestChartNulls checks that a missing value has its default of values.yaml, except for resources.
func TestChartNulls(t *testing.T) {
	t.Parallel()
	all := make(map[string]any)
	for key := range defaultValues(t) {
		all[key] = nil
	}
	want := render(t, "resources=null")
	if diff := cmp.Diff(want, renderFile(t, all)); diff != "" {
		t.Errorf("every value is null (-default +null):\n%s", diff)
	}
	nested := nulls(defaultValues(t))
	nested["resources"] = nil
	if diff := cmp.Diff(want, renderFile(t, nested)); diff != "" {
		t.Errorf("every nested value is null (-default +null):\n%s", diff)
	}
	if strings.Contains(want, "resources:\n          ") || strings.Contains(want, "GOMEMLIMIT") {
		t.Errorf("resources=null has resources:\n%s", want)
	}
	want = render(t, "namespaceDefaults.enabled=true", "autoscaling.enabled=true", "serviceMonitor.enabled=true")
	got := renderFile(t, map[string]any{
		"namespaceDefaults": map[string]any{"enabled": true, "failurePolicy": nil, "namespaceSelector": nil},
		"autoscaling": map[string]any{
			"enabled": true, "minReplicas": nil, "maxReplicas": nil, "targetCPUUtilizationPercentage": nil,
		},
		"serviceMonitor": map[string]any{"enabled": true, "interval": nil, "labels": nil},
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("disabled by default (-default +null):\n%s", diff)
	}
}

// nulls replaces the values in nested maps by null. It leaves the maps themselves.
func nulls(values map[string]any) map[string]any {
	for key, value := range values {
		nested, ok := value.(map[string]any)
		if ok && len(nested) > 0 && key != "matchLabels" {
			values[key] = nulls(nested)
		} else {
			values[key] = nil
		}
	}
	return values
}

// TestChartMetadata checks that commonLabels and commonAnnotations are on every object and on pods, and that more
// specific ones override them.
func TestChartMetadata(t *testing.T) {
	t.Parallel()
	values := append(podVariants()["metadata"], "tls.mode=certManager", "configMaps.matchLabels.team=d")
	rendered := render(t, append(values, "serviceMonitor.enabled=true", "serviceMonitor.labels.team=m")...) + "\n---\n" +
		render(t, append(values, "podMonitor.enabled=true", "podMonitor.labels.team=m")...)
	objects := 0
	for document := range strings.SplitSeq(rendered, "\n---\n") {
		var object metav1.PartialObjectMetadata
		must(t, yaml.Unmarshal([]byte(document), &object))
		if object.Kind == "" {
			continue
		}
		objects++
		want := map[string]string{"ServiceMonitor": "m", "PodMonitor": "m", "ConfigMap": "d"}[object.Kind]
		if want == "" {
			want = "a"
		}
		equal(t, "the label of the "+object.Kind, object.Labels["team"], want)
		equal(t, "the name label of the "+object.Kind, object.Labels["app.kubernetes.io/name"], home)
		equal(t, "the annotation of the "+object.Kind, object.Annotations["example.com/contact"], "b")
		if object.Kind == "MutatingWebhookConfiguration" || object.Kind == "ValidatingWebhookConfiguration" {
			equal(t, "webhook.annotations", object.Annotations["a"], "b")
			equal(t, "the annotation of cert-manager", object.Annotations["cert-manager.io/inject-ca-from"], home+"/"+home)
		}
	}
	if objects < 30 {
		t.Errorf("only %d objects", objects)
	}
	template := renderedDeployment(t, values...).Spec.Template
	equal(t, "the label of pods", template.Labels["team"], "c")
	equal(t, "the annotation of pods", template.Annotations["example.com/contact"], "b")
}

// renderedDeployment returns the Deployment of the chart with these values.
func renderedDeployment(t *testing.T, values ...string) *appsv1.Deployment {
	t.Helper()
	for document := range strings.SplitSeq(render(t, values...), "\n---\n") {
		if !strings.Contains(document, "\nkind: Deployment\n") {
			continue
		}
		var deployment appsv1.Deployment
		must(t, yaml.UnmarshalStrict([]byte(document), &deployment))
		return &deployment
	}
	t.Fatal("no Deployment")
	return nil
}

// TestChartPod checks what the Deployment has with values about its pod.
func TestChartPod(t *testing.T) {
	t.Parallel()
	pod := renderedDeployment(t, append(podVariants()["ports"], "hostNetwork=true")...).Spec.Template.Spec
	equal(t, "hostNetwork", pod.HostNetwork, true)
	equal(t, "dnsPolicy", pod.DNSPolicy, corev1.DNSClusterFirstWithHostNet)
	container := pod.Containers[0]
	equal(t, "the arguments", strings.Join(container.Args[:2], " "), "--tls-port=19443 --lifecycle-port=19000")
	equal(t, "the ports", fmt.Sprint(container.Ports[0].ContainerPort, container.Ports[1].ContainerPort), "19443 19000")
	equal(t, "dnsPolicy by default", renderedDeployment(t).Spec.Template.Spec.DNSPolicy, "")

	pod = renderedDeployment(t, append(podVariants()["volumes"], "tls.mode=certManager")...).Spec.Template.Spec
	for n, name := range []string{"tls", "definitions", "scratch"} {
		equal(t, "the volume", pod.Volumes[n].Name, name)
		equal(t, "the mount", pod.Containers[0].VolumeMounts[n].MountPath, "/"+name)
	}

	for image, values := range map[string][]string{
		"k8s-sidecar-injector:0.1.0":                          nil,
		"registry.example.com:5000/m/k8s-sidecar-injector:v1": {"image.registry=registry.example.com:5000/m", "image.tag=v1"},
		"r.example.com/a/b@sha256:" + strings.Repeat("0", 64): {
			"image.registry=r.example.com", "image.repository=a/b", "image.digest=sha256:" + strings.Repeat("0", 64),
		},
	} {
		equal(t, "the image", renderedDeployment(t, values...).Spec.Template.Spec.Containers[0].Image, image)
	}

	rendered := strings.Join(strings.Fields(render(t, podVariants()["namespace labels"]...)), " ")
	equal(t, "the number of selectors with the label",
		strings.Count(rendered, `- key: team operator: In values: ["a"]`), 5) // three webhooks and two policies
}

// TestChartMemoryLimit checks GOMEMLIMIT.
func TestChartMemoryLimit(t *testing.T) {
	t.Parallel()
	for values, want := range map[string]string{
		"":                                                   "460MiB",
		"resources.limits.memory=1Gi":                        "921MiB",
		"resources.limits.memory=1.5Gi":                      "1382MiB",
		"resources.limits.memory=500M":                       "429MiB",
		"resources.limits.memory=536870912":                  "460MiB",
		"goMemLimitPercent=100":                              "512MiB",
		"goMemLimitPercent=0":                                "",
		"resources.limits.memory=1e9":                        "",
		"resources.limits.memory=1Ki":                        "",
		"resources.limits=null":                              "",
		"extraEnv[0].name=GOMEMLIMIT,extraEnv[0].value=1GiB": "1GiB",
		"extraEnv[0].name=A,extraEnv[0].value=b":             "460MiB",
	} {
		got := ""
		for _, variable := range renderedDeployment(t, values).Spec.Template.Spec.Containers[0].Env {
			if variable.Name == "GOMEMLIMIT" {
				got += variable.Value
			}
		}
		equal(t, "GOMEMLIMIT with "+values, got, want)
	}
}
