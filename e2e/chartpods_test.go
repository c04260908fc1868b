package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestChartMountedDefinitions checks that definitions in a mounted ConfigMap may be privileged, unlike those in a
// labelled one.
func TestChartMountedDefinitions(t *testing.T) {
	t.Parallel()
	i := installChart(t, mounted()...)
	configMap := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "privileged"},
		Data:       map[string]string{"strong.yaml": privileged("strong")},
	}
	_, err := i.client().CoreV1().ConfigMaps(home).Create(t.Context(), configMap, metav1.CreateOptions{})
	must(t, err)
	pods := i.pods(2)
	for n := range pods {
		i.mount(&pods[n])
	}
	i.start(pods)
	i.awaitContainers("strong", "app,strong")
	err = i.define("labelled", privileged("other"))
	if err == nil || !strings.Contains(err.Error(), "violates the Pod Security level baseline: hostPath volumes") {
		t.Errorf("got error %v for a privileged definition in a labelled ConfigMap", err)
	}
}

// mount writes the ConfigMaps that a pod mounts into directories, like a kubelet, and puts these into its arguments.
func (i *installation) mount(p *corev1.Pod) {
	i.Helper()
	container := &p.Spec.Containers[0]
	for _, volume := range p.Spec.Volumes {
		if volume.ConfigMap == nil {
			continue
		}
		configMap, err := i.client().CoreV1().ConfigMaps(p.Namespace).Get(i.Context(), volume.ConfigMap.Name,
			metav1.GetOptions{})
		must(i.T, err)
		directory := i.TempDir()
		for key, text := range configMap.Data {
			must(i.T, os.WriteFile(filepath.Join(directory, key), []byte(text), 0o600))
		}
		for _, m := range container.VolumeMounts {
			for n, arg := range container.Args {
				if m.Name == volume.Name {
					container.Args[n] = strings.Replace(arg, "="+m.MountPath, "="+directory, 1)
				}
			}
		}
	}
}

// TestChartRefusesPodValues checks that errors about invalid values of pods and metadata name them.
func TestChartRefusesPodValues(t *testing.T) {
	t.Parallel()
	volume := "extraVolumes[0].name=a,extraVolumes[0].emptyDir.medium=Memory,"
	for values, want := range map[string]string{
		"hostNetwork=yes":                        "'/hostNetwork': got string, want boolean",
		"ports.webhook=443":                      "'/ports/webhook': minimum: got 443, want 1,024",
		"ports.tls=9443":                         "additional properties 'tls' not allowed",
		"ports.webhook=9000":                     "ports.webhook and ports.lifecycle are both 9000: must differ",
		"extraArgs[0]=--tls-port=1":              "extraArgs has --tls-port=1: set ports.webhook",
		"commonLabels.a=1":                       "'/commonLabels/a': got number, want string",
		"commonLabels.a_=x":                      "'/commonLabels': additional properties 'a_' not allowed",
		`commonLabels.a\.\.b/c=x`:                "'/commonLabels': additional properties 'a..b/c' not allowed",
		"commonLabels.a=x y":                     "'/commonLabels/a': 'x y' does not match pattern",
		"commonAnnotations=x":                    "'/commonAnnotations': got string, want object",
		"webhook.annotations.a=true":             "'/webhook/annotations/a': got boolean, want string",
		"image.registry=https://r":               "'/image/registry': 'https://r' does not match pattern",
		"resources.limit.memory=1Gi":             "additional properties 'limit' not allowed",
		"resources.limits.memory=1 GB":           "'/resources/limits/memory': '1 GB' does not match pattern",
		"goMemLimitPercent=101":                  "'/goMemLimitPercent': maximum: got 101, want 100",
		"ignoredNamespaces={a,a}":                "'/ignoredNamespaces': items at 0 and 1 are equal",
		"extraEnv[0].name=A,extraEnv[0].value=1": "'/extraEnv/0/value': got number, want string",
		"extraEnv[0].name=A,extraEnv[1].name=A":  `extraEnv: two elements have the name "A"`,
		"extraVolumes[0].name=a":                 "'/extraVolumes/0': minProperties: got 1, want 2",
		volume + "extraVolumes[1].name=a,extraVolumes[1].configMap.name=b": `two elements have the name "a"`,
		"extraVolumes[0].name=tls,extraVolumes[0].secret.secretName=b":     `two elements have the name "tls"`,
		volume + "extraVolumeMounts[0].name=b,extraVolumeMounts[0].mountPath=/b": "extraVolumes has no volume with " +
			`the name "b"`,
		volume + "extraVolumeMounts[0].name=a,extraVolumeMounts[0].mountPath=b": "'b' does not match pattern",
		volume + "extraVolumeMounts[0].name=a,extraVolumeMounts[0].mountpath=/b": "additional properties 'mountpath' " +
			"not allowed",
		volume + "extraVolumeMounts[0].name=a,extraVolumeMounts[0].mountPath=/tls": "two elements have the mountPath " +
			`"/tls"`,
		`podLabels.app\.kubernetes\.io/name=x`:          "podLabels: the chart itself sets",
		`commonLabels.app\.kubernetes\.io/managed-by=x`: "commonLabels: the chart itself sets",
		"webhook.namespaceSelector.matchLabels.a=1":     "got number, want string",
		"webhook.objectSelector.matchLabels.a=true":     "got boolean, want string",
		"tolerations[0].value=true":                     "'/tolerations/0/value': got boolean, want string",
		"webhook.matchConditions[0].name=a,webhook.matchConditions[0].expression=true": "expression': got boolean, " +
			"want string",
		"webhook.matchConditions[0].name=requested,webhook.matchConditions[0].expression=x": "two elements have the name " +
			`"requested"`,
	} {
		if output, err := tryRender(t, values); err == nil || !strings.Contains(output, want) {
			t.Errorf("%s: %v, no %q in %s", values, err, want, output)
		}
	}
}
