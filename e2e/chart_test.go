package e2e_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// render renders the chart with these values.
func render(t *testing.T, values ...string) string {
	t.Helper()
	output, err := tryRender(t, values...)
	if err != nil {
		t.Fatalf("%q: %v\n%s", values, err, output)
	}
	return output
}

func tryRender(t *testing.T, values ...string) (string, error) {
	t.Helper()
	args := []string{"template", home, chart, "--namespace=" + home}
	for _, value := range values {
		args = append(args, "--set", value)
	}
	output, err := exec.CommandContext(t.Context(), filepath.Join(bin, "helm"), args...).CombinedOutput()
	return string(output), err
}

// TestChartVariants checks that the API server accepts every variant, with strict validation and no warnings.
func TestChartVariants(t *testing.T) {
	t.Parallel()
	s := newScene(t, startCluster(t))
	s.kubectl("apply", "-f", "../deploy/namespace.yaml")
	variants := map[string][]string{
		"defaults": nil,
		"sample":   {"sample=true"},
		"sidecars": {"sample=true", `sidecars.a\.yaml=name: a`, `sidecars.greeter\.yaml=  name: greeter:v1  # "quoted"`},
		"secret": {
			"tls.mode=secret",
			"tls.secret.name=own",
			"tls.secret.caBundle=" + strings.ReplaceAll(string(s.ca(t)), ",", `\,`),
		},
		"events":      {"events.enabled=true"},
		"dashboard":   {"dashboard.enabled=true"},
		"autoscaling": {"autoscaling.enabled=true"},
		"all off": {
			"rbac.create=false",
			"validation.enabled=false",
			"workloads.enabled=false",
			"safetyNet.enabled=false",
			"networkPolicy.enabled=false",
			"podDisruptionBudget.enabled=false",
			"serviceAccount.create=false",
			"test.enabled=false",
		},
		"test without rights":       {"rbac.create=false"},
		"without validation":        {"validation.enabled=false"},
		"without workload warnings": {"workloads.enabled=false"},
		"denying safety net":        {"safetyNet.action={Deny,Audit}"},
		"safety net of one action":  {"safetyNet.action=Deny"},
		"names": {
			"fullnameOverride=other",
			"serviceAccount.name=own",
			"annotationNamespace=sidecars.example.com",
			"configMaps.namespace=default",
		},
		"scheduling": {
			"priorityClassName=system-cluster-critical",
			"nodeSelector.a=b",
			"tolerations[0].key=a",
			"tolerations[0].operator=Exists",
			"topologySpreadConstraints[0].maxSkew=1",
			"topologySpreadConstraints[0].topologyKey=z",
			"topologySpreadConstraints[0].whenUnsatisfiable=DoNotSchedule",
			"topologySpreadConstraints[0].labelSelector.matchLabels.a=b",
		},
		"more webhook": {
			"webhook.failurePolicy=Fail",
			"webhook.reinvocationPolicy=Never",
			"webhook.objectSelector.matchLabels.a=b",
			"webhook.matchConditions[0].name=x",
			"webhook.matchConditions[0].expression=has(object.spec)",
			"webhook.namespaceSelector.matchExpressions[0].key=a",
			"webhook.namespaceSelector.matchExpressions[0].operator=Exists",
		},
		"more of a pod": {
			"extraArgs[0]=--status-page=false",
			"extraEnv[0].name=A",
			"extraEnv[0].value=b",
			"podLabels.a=b",
			"podAnnotations.a=b",
			"imagePullSecrets[0].name=a",
			"image.digest=sha256:" + strings.Repeat("0", 64),
		},
		"defaults of namespaces": {
			"namespaceDefaults.enabled=true",
			"namespaceDefaults.failurePolicy=Fail",
			"webhook.objectSelector.matchLabels.a=b",
			"webhook.matchConditions[0].name=x",
			"webhook.matchConditions[0].expression=has(object.spec)",
			"webhook.namespaceSelector.matchExpressions[0].key=a",
			"webhook.namespaceSelector.matchExpressions[0].operator=Exists",
		},
		"defaults by expressions": {
			"namespaceDefaults.enabled=true",
			"namespaceDefaults.namespaceSelector.matchLabels=null",
			"namespaceDefaults.namespaceSelector.matchExpressions[0].key=team",
			"namespaceDefaults.namespaceSelector.matchExpressions[0].operator=Exists",
		},
		"power": {"privilegedSources[0]=files", "privilegedSources[1]=configmaps"},
		"peers": {
			"networkPolicy.webhookFrom[0].ipBlock.cidr=10.0.0.0/8",
			"networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.a=b",
		},
	}
	maps.Copy(variants, podVariants())
	for name, values := range variants {
		file := filepath.Join(t.TempDir(), strings.ReplaceAll(name, " ", "-")+".yaml")
		values = append(values, "test.enabled=false") // its pod needs a stored service account: see TestHelmTest
		must(t, os.WriteFile(file, []byte(render(t, values...)), 0o600))
		s.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", file)
	}
}

// TestChartCustomResources checks objects of kinds that this API server does not have.
func TestChartCustomResources(t *testing.T) {
	t.Parallel()
	for value, wants := range map[string][]string{
		"tls.mode=certManager": {
			"kind: Issuer",
			"selfSigned: {}",
			"kind: Certificate",
			"secretName: sidecar-injector-cert",
			"dnsNames: [sidecar-injector.sidecar-injector.svc]",
			"cert-manager.io/inject-ca-from: sidecar-injector/sidecar-injector",
			"--tls-cert-file=/tls/tls.crt",
			"mountPath: /tls",
		},
		"serviceMonitor.enabled=true": {"kind: ServiceMonitor", "port: lifecycle, path: /metrics"},
		"podMonitor.enabled=true":     {"kind: PodMonitor", "podMetricsEndpoints:"},
		"prometheusRule.enabled=true": {"kind: PrometheusRule", "alert: SidecarInjectorDown"},
	} {
		rendered := render(t, value)
		for _, want := range wants {
			if !strings.Contains(rendered, want) {
				t.Errorf("%s: no %q in\n%s", value, want, rendered)
			}
		}
	}
	rendered := render(t, "tls.mode=certManager")
	if strings.Contains(rendered, "kind: ClusterRole") || strings.Contains(rendered, "self-managed") {
		t.Errorf("write rights are granted with cert-manager:\n%s", rendered)
	}
}

// TestChartPrivilegedSources checks that the flag is always passed, also for an empty list.
func TestChartPrivilegedSources(t *testing.T) {
	t.Parallel()
	for list, want := range map[string]string{"[]": "", "[files]": "files", "[files, configmaps]": "files,configmaps"} {
		values := filepath.Join(t.TempDir(), "values.yaml")
		must(t, os.WriteFile(values, []byte("privilegedSources: "+list+"\n"), 0o600))
		helm := exec.CommandContext(t.Context(), filepath.Join(bin, "helm"), "template", home, chart, "--values", values)
		output, err := helm.CombinedOutput()
		if err != nil || !strings.Contains(string(output), "- --privileged-sources="+want+"\n") {
			t.Errorf("%s: %v, no %q in\n%s", list, err, want, output)
		}
	}
}

// TestChartPolicies checks that the policies apply only to the account of the release, and are rendered with
// the rights that they restrict.
func TestChartPolicies(t *testing.T) {
	t.Parallel()
	for values, account := range map[string]string{
		"":                                    "sidecar-injector",
		"serviceAccount.name=own":             "own",
		"fullnameOverride=other":              "other",
		"rbac.create=false":                   "",
		"tls.mode=certManager":                "",
		"serviceAccount.create=false":         "default",
		"tls.selfManaged.secretName=elsewise": "sidecar-injector",
	} {
		rendered := render(t, "safetyNet.enabled=false", values)
		want := 0
		if account != "" {
			want = 2
		}
		equal(t, "the number of policies with "+values, strings.Count(rendered, "kind: ValidatingAdmissionPolicy\n"), want)
		equal(t, "the number of bindings with "+values,
			strings.Count(rendered, "kind: ValidatingAdmissionPolicyBinding\n"), want)
		condition := fmt.Sprintf(`expression: request.userInfo.username == "system:serviceaccount:%s:%s"`, home, account)
		equal(t, "the number of policies for "+account, strings.Count(rendered, condition), want)
	}
}

// TestChartRefuses checks that errors about invalid values name them.
func TestChartRefuses(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"replica=3":                         "replica",
		"webhook.failurePolicy=ignore":      "failurePolicy",
		"webhook.timeoutSeconds=31":         "timeoutSeconds",
		"namespaceDefaults.failurePolicy=x": "failurePolicy",
		"namespaceDefaults.enabled=true,namespaceDefaults.namespaceSelector.matchLabels=null": "namespaceDefaults." +
			"namespaceSelector must have labels or expressions",
		"tls.mode=files":                  "mode",
		"tls.mode=secret":                 "is required with tls.mode secret",
		"tls.selfManaged.lifetime=90d":    "lifetime",
		"log.level=loud":                  "level",
		"events.enabled=on":               "enabled",
		"workloads.enabled=on":            "workloads",
		"safetyNet.action=deny":           "action",
		"safetyNet.action={deny}":         "action",
		"safetyNet.action={Warn,Deny}":    "action",
		"safetyNet.action=[]":             "action",
		"annotationNamespace=A_B":         "annotationNamespace",
		"annotationNamespace=a..b":        "annotationNamespace",
		"fullnameOverride=1a":             "fullnameOverride",
		"image.digest=latest":             "digest",
		"configMaps.matchLabels.app=null": "matchLabels",
		"sidecars.b[0]=x":                 "sidecars",
		"sidecars.a/b=x":                  "'/sidecars': additional properties 'a/b' not allowed",
		"ignoredNamespaces=x":             "ignoredNamespaces",
		"networkPolicy.apiServerPorts={}": "apiServerPorts",
		"privilegedSources[0]=pods":       "privilegedSources",
		"drainDelay=60s": "terminationGracePeriodSeconds is 30: " +
			"must be at least drainDelay, 60s, and 15 seconds",
		"nameOverride=My_App":                     "nameOverride",
		"tls.selfManaged.secretName=a b":          "secretName",
		"image.repository=a #b":                   "repository",
		"image.repository=a:v1":                   "repository",
		"image.repository=a/B":                    "repository",
		"image.tag=-v1":                           "tag",
		"image.tag=1":                             "'/image/tag': got number, want string",
		"podDisruptionBudget.maxUnavailable=-1":   "'/podDisruptionBudget/maxUnavailable': minimum: got -1, want 0",
		"podDisruptionBudget.maxUnavailable=101%": "maxUnavailable",
		"serviceMonitor.interval=1.5m":            "interval",
		"terminationGracePeriodSeconds=-1":        "terminationGracePeriodSeconds",
	} {
		if output, err := tryRender(t, value); err == nil || !strings.Contains(output, want) {
			t.Errorf("%s: %v, %s", value, err, output)
		}
	}
}

// TestManifests checks that deploy/install.yaml is what make manifests renders, and make manifests IMAGE=….
func TestManifests(t *testing.T) {
	t.Parallel()
	committed, err := os.ReadFile("../deploy/install.yaml")
	must(t, err)
	for image, want := range map[string]string{
		"": "k8s-sidecar-injector:0.1.0",
		"registry.example.com:5000/team/injector:v1": "registry.example.com:5000/team/injector:v1",
		"registry.example.com:5000/team/injector":    "registry.example.com:5000/team/injector:0.1.0",
		"registry.example.com/team/x:20260101":       "registry.example.com/team/x:20260101",
		"injector@sha256:" + strings.Repeat("0", 64): "injector@sha256:" + strings.Repeat("0", 64),
		"a/x:1.0@sha256:" + strings.Repeat("0", 64):  "a/x@sha256:" + strings.Repeat("0", 64),
	} {
		manifests, err := exec.CommandContext(t.Context(), "../tools/manifests", "../deploy/chart", image).Output()
		must(t, err)
		expected := strings.Replace(string(committed), "image: k8s-sidecar-injector:0.1.0", "image: "+want, 1)
		if diff := cmp.Diff(string(manifests), expected); diff != "" {
			t.Errorf("install.yaml is not rendered from the chart with image %q: run make manifests\n%s", image, diff)
		}
	}
}
