package e2e_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestChartRefusesCombinations checks that errors about values that exclude each other name both.
func TestChartRefusesCombinations(t *testing.T) {
	t.Parallel()
	for values, want := range map[string]string{
		"service.port=9000": "service.port and the lifecycle port of the Service are both 9000: must differ",
		"dashboard.enabled=true,commonLabels.app=k8s-sidecar-injector": "the ConfigMap of the dashboard has the labels of " +
			"configMaps.matchLabels, app=k8s-sidecar-injector",
		"dashboard.enabled=true,dashboard.labels.app=k8s-sidecar-injector": "the ConfigMap of the dashboard",
		"dashboard.enabled=true,configMaps.matchLabels.app=null," +
			`configMaps.matchLabels.app\.kubernetes\.io/instance=` + home: "the ConfigMap of the dashboard",
		"autoscaling.enabled=true,autoscaling.minReplicas=7": "autoscaling.minReplicas is 7: " +
			"must not be greater than autoscaling.maxReplicas, 6",
		"autoscaling.enabled=true,resources=null":              "autoscaling.enabled needs resources.requests.cpu",
		"autoscaling.enabled=true,resources.requests.cpu=null": "autoscaling.enabled needs resources.requests.cpu",
		"tls.selfManaged.caLifetime=6479h59m": "tls.selfManaged.caLifetime is 6479h59m: " +
			"must be at least three times tls.selfManaged.lifetime, 2160h",
		"tls.mode=certManager,tls.certManager.duration=720h": "tls.certManager.renewBefore is 720h: " +
			"must be less than tls.certManager.duration, 720h",
		"serviceMonitor.enabled=true,podMonitor.enabled=true": "serviceMonitor.enabled and podMonitor.enabled are both true",
	} {
		if output, err := tryRender(t, values); err == nil || !strings.Contains(output, want) {
			t.Errorf("%s: %v, no %q in %s", values, err, want, output)
		}
	}
}

// TestChartRefusesNames checks names of a release that give an invalid name of the Service.
func TestChartRefusesNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a.b", "1a"} {
		helm := exec.CommandContext(t.Context(), filepath.Join(bin, "helm"), "template", name, chart)
		output, err := helm.CombinedOutput()
		want := "a Service cannot have the name " + name + "-sidecar-injector; set fullnameOverride"
		if err == nil || !strings.Contains(string(output), want) {
			t.Errorf("%s: %v, no %q in %s", name, err, want, output)
		}
	}
}
