// Package tools_test checks the chart with types that the program and its tests do not need.
package tools_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// TestCustomResources decodes the objects of the chart whose types an API server does not have, and rejects unknown
// fields.
func TestCustomResources(t *testing.T) {
	t.Parallel()
	rendered := render(t, "tls.mode=certManager", "serviceMonitor.enabled=true", "prometheusRule.enabled=true",
		"prometheusRule.labels.release=p") + "\n---\n" + render(t, "podMonitor.enabled=true")
	missing := []string{"Certificate", "Issuer", "PodMonitor", "PrometheusRule", "ServiceMonitor"}
	for manifest := range strings.SplitSeq(rendered, "\n---\n") {
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(manifest), &kind); err != nil {
			t.Fatalf("%v:\n%s", err, manifest)
		}
		object := objectOf(kind)
		if object == nil {
			continue
		}
		if err := yaml.UnmarshalStrict([]byte(manifest), object); err != nil {
			t.Errorf("%v:\n%s", err, manifest)
		}
		missing = slices.DeleteFunc(missing, func(name string) bool { return name == kind.Kind })
	}
	if len(missing) > 0 {
		t.Errorf("the chart does not render %q", missing)
	}
}

// render renders the chart with these values.
func render(t *testing.T, values ...string) string {
	t.Helper()
	helm := exec.CommandContext(t.Context(), "go", "tool", "helm", "template", "sidecar-injector", "../deploy/chart",
		"--namespace=sidecar-injector", "--set="+strings.Join(values, ","))
	rendered, err := helm.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(rendered)
}

// objectOf returns an object of a type that is not built into Kubernetes, or nil.
func objectOf(t metav1.TypeMeta) any {
	switch t.APIVersion + "/" + t.Kind {
	case "cert-manager.io/v1/Certificate":
		return new(certmanagerv1.Certificate)
	case "cert-manager.io/v1/Issuer":
		return new(certmanagerv1.Issuer)
	case "monitoring.coreos.com/v1/PodMonitor":
		return new(monitoringv1.PodMonitor)
	case "monitoring.coreos.com/v1/PrometheusRule":
		return new(monitoringv1.PrometheusRule)
	case "monitoring.coreos.com/v1/ServiceMonitor":
		return new(monitoringv1.ServiceMonitor)
	}
	return nil
}
