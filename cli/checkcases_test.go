package cli_test

import (
	"encoding/base64"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// checkCases returns clusters in which a check is not ok.
func checkCases() map[string]checkCase {
	cases := make(map[string]checkCase)
	for _, part := range []map[string]checkCase{
		apiCases(), installationCases(), webhookCases(), callCases(), certificateCases(), definitionCases(), beforeCases(),
		trialCases(),
	} {
		maps.Copy(cases, part)
	}
	return cases
}

func apiCases() map[string]checkCase {
	return map[string]checkCase{
		"all is well":        {},
		"the oldest version": {change: func(s *checkServer) { s.version = "v1.30.0" }},
		"version of a provider": {
			change: func(s *checkServer) { s.version = "v1.29.9-gke.100" },
			want: "failed: kubernetes-version: version v1.29.9-gke.100 is older than 1.30, which the matchConditions of " +
				"the webhooks need\n",
		},
		"clock": {
			change: func(s *checkServer) { s.skew = time.Hour },
			want:   "warning: clock: the clock of this machine and that of the API server differ by 1h0m0s\n",
		},
	}
}

func installationCases() map[string]checkCase {
	return map[string]checkCase{
		"flags": {
			change: func(s *checkServer) { s.flag("--on-unknown=x") },
			want: "failed: flags: Deployment sidecar-injector/sidecar-injector: --on-unknown: \"x\" is neither admit nor " +
				"deny\n" + skippedLines("flags",
				"permissions", "webhook-configurations", "webhook-targets", "endpoints", "availability", "webhook-selectors",
				"other-webhooks", "webhook-called", "ca-bundle", "certificate-trusted", "certificate-expiry", "definitions",
				"definitions-labelled", "definitions-mounted", "definitions-stale", "replicas-agree"),
		},
		"no replica": {
			change: func(s *checkServer) {
				s.set("Deployment", "status", map[string]any{})
				s.pending = map[string][]string{"one:9000": {"x", "y"}, "two:9000": {"x", "y"}}
			},
			want: "failed: replicas-ready: ready replicas: 0 of 2; one, two: x, y\n",
			hint: "see `kubectl describe pods` and `kubectl logs` in the namespace of the injector",
		},
		"scaled to zero": {
			change: func(s *checkServer) {
				s.set("Deployment", "spec.replicas", int64(0))
				s.set("Deployment", "status", map[string]any{})
			},
			want: "failed: replicas-ready: the Deployment is scaled to 0 replicas: scale it up\n",
			hint: "run `kubectl -n sidecar-injector scale deployment/sidecar-injector --replicas=2`",
		},
		"one replica": {
			change: func(s *checkServer) {
				s.set("Deployment", "status.readyReplicas", int64(1))
				s.pending = map[string][]string{"two:9000": {"no certificate yet"}}
			},
			want: "warning: replicas-ready: ready replicas: 1 of 2; two: no certificate yet\n",
		},
		"rollout": {
			change: func(s *checkServer) { s.set("Deployment", "status.updatedReplicas", int64(1)) },
			want:   "warning: replicas-ready: ready replicas: 2 of 2, with the current pod template: 1\n",
		},
		"endpoints": {
			change: func(s *checkServer) { s.remove("EndpointSlice") },
			want:   "failed: endpoints: Service sidecar-injector has no ready endpoint\n",
		},
		"endpoints forbidden": {
			change: func(s *checkServer) { s.forbidden = []string{"endpointslices/sidecar-injector"} },
			want: "skipped: endpoints: cannot list endpointslices.discovery.k8s.io in namespace sidecar-injector: " +
				"endpointslices/sidecar-injector is forbidden: User may not: grant it with a Role that has the verb list for " +
				"endpointslices.discovery.k8s.io\n",
		},
		"one replica and Fail": {
			change: func(s *checkServer) {
				s.fail("pods.")
				s.set("Deployment", "spec.replicas", int64(1))
			},
			want: "warning: availability: failurePolicy of sidecar-injector/pods.sidecar-injector.sidecar-injector.svc is " +
				"Fail, and the number of replicas is 1\n",
		},
		"Fail without a PodDisruptionBudget": {
			change: func(s *checkServer) {
				s.fail("pods.")
				s.remove("PodDisruptionBudget")
			},
			want: "warning: availability: failurePolicy of sidecar-injector/pods.sidecar-injector.sidecar-injector.svc is " +
				"Fail, and no PodDisruptionBudget selects the replicas\n",
		},
		"Fail": {change: func(s *checkServer) { s.fail("pods.") }},
		"permissions": {
			change: func(s *checkServer) { s.denied = []string{"watch configmaps", "patch secrets"} },
			want: "failed: permissions: service account sidecar-injector/sidecar-injector may not watch configmaps in " +
				"namespace sidecar-injector, patch secrets/sidecar-injector-tls in namespace sidecar-injector\n",
		},
		"permissions of options": {
			change: func(s *checkServer) {
				s.flag("--events")
				s.flag("--namespace-defaults")
				s.denied = []string{"create events", "get namespaces"}
			},
			want: "failed: permissions: service account sidecar-injector/sidecar-injector may not get namespaces, create " +
				"events\n",
		},
		"permissions forbidden": {
			change: func(s *checkServer) { s.forbidden = []string{"create subjectaccessreviews"} },
			want: "skipped: permissions: cannot create subjectaccessreviews.authorization.k8s.io in all namespaces: " +
				"subjectaccessreviews is forbidden: User \"u\" may not: grant it with a ClusterRole that has the verb create " +
				"for subjectaccessreviews.authorization.k8s.io\n",
		},
	}
}

// skippedLines are the lines of checks that are skipped because an earlier one has reported the error.
func skippedLines(first string, names ...string) string {
	var lines strings.Builder
	for _, name := range names {
		lines.WriteString("skipped: " + name + ": not checked: see " + first + "\n")
	}
	return lines.String()
}

// fail sets the failurePolicy of the webhooks whose name has the prefix.
func (s *checkServer) fail(prefix string) {
	s.each("webhooks", func(webhook map[string]any) {
		if strings.HasPrefix(webhook["name"].(string), prefix) {
			webhook["failurePolicy"] = "Fail"
		}
	})
}

const ownWebhook = "sidecar-injector/pods.sidecar-injector.sidecar-injector.svc"

func webhookCases() map[string]checkCase {
	return map[string]checkCase{
		"half installed": {
			change: func(s *checkServer) { s.remove("MutatingWebhookConfiguration") },
			want: "failed: webhook-configurations: no mutating webhook of the injector matches the creation of pods\n" +
				skippedLines("webhook-configurations", "webhook-selectors", "other-webhooks", "webhook-called",
					"certificate-trusted", "certificate-expiry"),
		},
		"webhook for updates": {
			change: func(s *checkServer) { s.rule("operations", []any{"UPDATE"}) },
			want:   notForPods,
		},
		"webhook for objects of the cluster": {
			change: func(s *checkServer) { s.rule("scope", "Cluster") },
			want:   notForPods,
		},
		"webhook for updates beside one for defaults": {
			change: func(s *checkServer) {
				s.addDefaults(map[string]any{})
				s.rule("operations", []any{"UPDATE"})
			},
			want: "failed: webhook-configurations: no mutating webhook of the injector matches the creation of pods with a " +
				"request; " + ownWebhook + ": no rule matches the creation of pods\n" +
				"warning: webhook-selectors: sidecar-injector/defaults.x: the selectors include the pods of the injector in " +
				"namespace sidecar-injector\n" + skippedLines("webhook-configurations", "webhook-called"),
		},
		"defaults in no namespace": {
			change: func(s *checkServer) {
				s.addDefaults(map[string]any{"matchLabels": map[string]any{"sidecars": "yes"}})
			},
			want: "warning: webhook-selectors: sidecar-injector/defaults.x: the namespaceSelector includes no namespace other " +
				"than that of the injector and ignored ones\n",
		},
		"webhooks forbidden": {
			change: func(s *checkServer) { s.forbidden = []string{"mutatingwebhookconfigurations"} },
			want: "skipped: webhook-configurations: cannot list " +
				"mutatingwebhookconfigurations.admissionregistration.k8s.io in all namespaces: " +
				"mutatingwebhookconfigurations is forbidden: User may not: grant it with a ClusterRole that has the verb list " +
				"for mutatingwebhookconfigurations.admissionregistration.k8s.io\n" +
				skippedLines("webhook-configurations", "webhook-targets", "endpoints", "availability", "webhook-selectors",
					"other-webhooks", "webhook-called", "ca-bundle", "certificate-trusted", "certificate-expiry"),
		},
		"no Service": {
			change: func(s *checkServer) { s.remove("Service") },
			want: "failed: webhook-targets: " + ownWebhook + ": Service sidecar-injector/sidecar-injector does not exist; " +
				"sidecar-injector/definitions.sidecar-injector.sidecar-injector.svc: Service sidecar-injector/sidecar-injector " +
				"does not exist; sidecar-injector/workloads.sidecar-injector.sidecar-injector.svc: Service " +
				"sidecar-injector/sidecar-injector does not exist\n",
		},
		"path": {
			change: func(s *checkServer) { s.target("path", "/") },
			want: "failed: webhook-targets: " + ownWebhook + ": the injector does not serve path \"/\" for this kind of " +
				"webhook\n",
		},
		"port": {
			change: func(s *checkServer) { s.target("port", int64(8443)) },
			want:   "failed: webhook-targets: " + ownWebhook + ": Service sidecar-injector has no port 8443\n",
		},
		"port of the container": {
			change: func(s *checkServer) { s.target("port", int64(9000)) },
			want: "failed: webhook-targets: " + ownWebhook + ": port 9000 of Service sidecar-injector is port 9000 of the " +
				"container, but --tls-port is 9443\n",
		},
		"own namespace": {
			change: func(s *checkServer) { s.pods()["namespaceSelector"] = map[string]any{} },
			want: "warning: webhook-selectors: " + ownWebhook + ": the selectors include the pods of the injector in " +
				"namespace sidecar-injector\n",
		},
		"selector for no namespace": {
			change: func(s *checkServer) {
				s.pods()["namespaceSelector"] = map[string]any{"matchLabels": map[string]any{
					"kubernetes.io/metadata.name": "kube-system",
				}}
				s.add(requestingPod("shop"))
				s.add(requestingPod("kube-system"))
			},
			want: "failed: webhook-selectors: " + ownWebhook + ": the namespaceSelector includes no namespace other than that " +
				"of the injector and ignored ones; the selectors exclude pods that request sidecars, in namespaces: shop\n" +
				"skipped: webhook-called: the webhook excludes namespace shop; select another with --namespace\n",
		},
		"no object": {
			change: func(s *checkServer) {
				s.pods()["objectSelector"] = map[string]any{"matchLabels": map[string]any{"a": "b"}}
				s.add(requestingPod("shop"))
			},
			want: "warning: webhook-selectors: the selectors exclude pods that request sidecars, in namespaces: shop\n" +
				"skipped: webhook-called: the objectSelector of the webhook excludes the trial pod, which has no labels\n",
		},
		"some objects": {
			change: func(s *checkServer) {
				s.pods()["objectSelector"] = map[string]any{"matchLabels": map[string]any{"app": "web"}}
				s.add(requestingPod("shop"))
			},
			want: "skipped: webhook-called: the objectSelector of the webhook excludes the trial pod, which has no labels\n",
		},
		"objects forbidden": {
			change: func(s *checkServer) {
				s.pods()["objectSelector"] = map[string]any{"matchLabels": map[string]any{"a": "b"}}
				s.add(requestingPod("shop"))
				s.forbidden = []string{"pods"}
			},
			want: "skipped: webhook-called: the objectSelector of the webhook excludes the trial pod, which has no labels\n",
		},
		"own namespace and Fail": {
			change: func(s *checkServer) {
				s.fail("pods.")
				delete(s.pods(), "namespaceSelector")
				delete(s.pods(), "matchConditions")
			},
			want: "failed: webhook-selectors: " + ownWebhook + ": the selectors include the pods of the injector in namespace " +
				"sidecar-injector; " + ownWebhook + ": failurePolicy is Fail, and the namespaceSelector includes the ignored " +
				"namespace kube-system\n",
		},
		"excluded default": {
			change: func(s *checkServer) {
				s.flag("--namespace-defaults")
				s.add("apiVersion: v1\nkind: Namespace\nmetadata: {name: old, " +
					"labels: {kubernetes.io/metadata.name: kube-public}, annotations: {injector.tumblr.com/request: x}}\n")
			},
			want: "warning: webhook-selectors: " + ownWebhook + ": the namespaceSelector excludes namespace old, which has a " +
				"default\n",
		},
		"namespaces forbidden": {
			change: func(s *checkServer) { s.forbidden = []string{"namespaces"} },
			want: "skipped: webhook-selectors: cannot list namespaces: namespaces is forbidden: User may not: grant it with a " +
				"ClusterRole that has the verb list for namespaces\n",
		},
		"later webhook": {
			change: func(s *checkServer) {
				s.add(otherWebhook("istio"))
				s.add(otherWebhook("z"))
				s.pods()["reinvocationPolicy"] = "Never"
			},
			want: "warning: other-webhooks: reinvocationPolicy of " + ownWebhook + " is Never, so it does not see the changes " +
				"to pods of later webhooks: z/z.example.com\n",
		},
		"earlier webhook": {change: func(s *checkServer) {
			s.add(otherWebhook("istio"))
			s.pods()["reinvocationPolicy"] = "Never"
		}},
	}
}

const notForPods = "failed: webhook-configurations: no mutating webhook of the injector matches the creation of " +
	"pods; " + ownWebhook + ": no rule matches the creation of pods\n" +
	"skipped: webhook-selectors: not checked: see webhook-configurations\n" +
	"skipped: other-webhooks: not checked: see webhook-configurations\n" +
	"skipped: webhook-called: not checked: see webhook-configurations\n" +
	"skipped: certificate-trusted: not checked: see webhook-configurations\n" +
	"skipped: certificate-expiry: not checked: see webhook-configurations\n"

// rule changes the rule of the webhook for pods.
func (s *checkServer) rule(field string, value any) {
	s.pods()["rules"].([]any)[0].(map[string]any)[field] = value
}

// addDefaults adds a webhook for defaults of namespaces.
func (s *checkServer) addDefaults(namespaceSelector map[string]any) {
	defaults := runtime.DeepCopyJSON(s.pods())
	defaults["name"], defaults["namespaceSelector"] = "defaults.x", namespaceSelector
	configuration := s.object("MutatingWebhookConfiguration")
	configuration["webhooks"] = append(configuration["webhooks"].([]any), defaults)
}

func requestingPod(namespace string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: " + namespace +
		", labels: {app: web}, annotations: {injector.tumblr.com/request: x}}\n"
}

// otherWebhook is the webhook of another program.
func otherWebhook(name string) string {
	return "apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingWebhookConfiguration\n" +
		"metadata: {name: " + name + "}\n" +
		"webhooks: [{name: " + name + ".example.com, clientConfig: {service: {namespace: x, name: sidecar-injector}}, " +
		"rules: [{apiGroups: ['*'], apiVersions: ['*'], resources: ['*'], operations: ['*']}]}]\n"
}

// pods returns the webhook for pods.
func (s *checkServer) pods() map[string]any {
	return s.object("MutatingWebhookConfiguration")["webhooks"].([]any)[0].(map[string]any)
}

// target changes the reference to the Service in the webhook for pods.
func (s *checkServer) target(field string, value any) {
	s.pods()["clientConfig"].(map[string]any)["service"].(map[string]any)[field] = value
}

func callCases() map[string]checkCase {
	trial := func(respond http.HandlerFunc) func(*checkServer) {
		return func(s *checkServer) { s.trial = respond }
	}
	return map[string]checkCase{
		"not called": {
			change: trial(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }),
			want: "failed: webhook-called: the API server created a trial pod in namespace shop, as a dry run, without an " +
				"answer of the webhook\n",
		},
		"denied by the webhook": {
			change: trial(status(http.StatusForbidden, "Forbidden", "admission webhook \"pods\" denied the request: "+
				"bad_request_annotation: annotation injector.tumblr.com/request: \"k8s-sidecar-injector check\" is not a sidecar")),
		},
		"not called with Fail": {
			change: func(s *checkServer) {
				s.fail("pods.")
				s.trial = func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }
			},
			want: "failed: webhook-called: the API server created a trial pod in namespace shop, as a dry run, without an " +
				"answer of the webhook\n",
			hint: "compare the rules, matchConditions and selectors of the webhook with those of the chart",
		},
		"failing call": {
			hint: "correct what the error names, or select another namespace with --namespace",
			change: trial(status(http.StatusInternalServerError, "InternalError",
				"failed calling webhook \"pods\": x509: certificate signed by unknown authority")),
			want: "failed: webhook-called: the API server does not create a trial pod in namespace shop: failed calling " +
				"webhook \"pods\": x509: certificate signed by unknown authority\n",
		},
		"denied by a quota": {
			change: trial(status(http.StatusForbidden, "Forbidden", "pods \"x\" is forbidden: exceeded quota")),
			want: "failed: webhook-called: the API server does not create a trial pod in namespace shop: pods \"x\" is " +
				"forbidden: exceeded quota\n",
		},
		"pods forbidden": {
			change: func(s *checkServer) { s.forbidden = []string{"create pods"} },
			want: "skipped: webhook-called: cannot create pods in namespace shop: pods is forbidden: User \"u\" may not: " +
				"grant it with a Role that has the verb create for pods\n",
		},
		"ignored namespace": {
			args: []string{"-n", "kube-system"},
			want: "skipped: webhook-called: namespace kube-system is one of --ignored-namespaces; select another with " +
				"--namespace\n",
		},
		"excluded namespace": {
			args: []string{"-n", "sidecar-injector"},
			want: "skipped: webhook-called: the webhook excludes namespace sidecar-injector; select another with " +
				"--namespace\n",
		},
		"no namespace": {
			args: []string{"-n", "none"},
			want: "skipped: webhook-called: namespace none does not exist; select another with --namespace\n",
		},
	}
}

func certificateCases() map[string]checkCase {
	own := "sidecar-injector/pods.sidecar-injector.sidecar-injector.svc"
	return map[string]checkCase{
		"no caBundle": {
			change: func(s *checkServer) { s.bundle("") },
			want:   "failed: ca-bundle: " + own + ": the caBundle is empty\n",
		},
		"caBundle without a certificate": {
			change: func(s *checkServer) { s.bundle("eHl6") },
			want: "failed: ca-bundle: " + own + ": the caBundle has no valid certificate\n" +
				"failed: certificate-trusted: " + own + " does not trust the certificate in Secret " +
				"sidecar-injector/sidecar-injector-tls: x509: certificate signed by unknown authority\n",
		},
		"DNS name": {
			change: func(s *checkServer) {
				s.remove("ValidatingWebhookConfiguration")
				s.target("name", "other")
				s.set("Service", "metadata.name", "other")
				s.set("EndpointSlice", "metadata.labels", map[string]any{"kubernetes.io/service-name": "other"})
			},
			want: "failed: certificate-trusted: " + own + " does not trust the certificate in Secret " +
				"sidecar-injector/sidecar-injector-tls: x509: certificate is valid for " +
				"sidecar-injector.sidecar-injector.svc, not other.sidecar-injector.svc\n",
		},
		"expires soon": {
			lifetime: 6 * day,
			want: "warning: certificate-expiry: the certificate in Secret sidecar-injector/sidecar-injector-tls expires on " +
				"DATE\n",
		},
		"expired": {
			lifetime: -day,
			want: "skipped: certificate-trusted: not checked: see certificate-expiry\n" +
				"failed: certificate-expiry: the certificate in Secret sidecar-injector/sidecar-injector-tls has expired on " +
				"DATE\n",
		},
		"valid from tomorrow": {
			change: func(s *checkServer) {
				certificate := newAuthority().issue(serviceName, day, 90*day)
				s.certify(certificate, certificate)
			},
			want: "skipped: certificate-trusted: not checked: see certificate-expiry\n" +
				"failed: certificate-expiry: the certificate in Secret sidecar-injector/sidecar-injector-tls is not valid " +
				"before DATET00:00:00Z\n",
		},
		"expired CA": {
			change: certifyBy(-9*day, -day, -9*day, 90*day),
			want: "skipped: certificate-trusted: not checked: see certificate-expiry\n" +
				"failed: certificate-expiry: CA \"CN=CA\" in the caBundle of webhook configuration sidecar-injector has expired " +
				"on DATE\n",
		},
		"CA expires soon": {
			change: certifyBy(-90*day, 6*day, -9*day, 90*day),
			want: "warning: certificate-expiry: CA \"CN=CA\" in the caBundle of webhook configuration sidecar-injector " +
				"expires on DATE\n",
		},
		"CA of the same key, issued later": {change: certifyBy(-day, 90*day, -9*day, 90*day)},
		"expired CA beside a valid one": {
			change: func(s *checkServer) {
				ca := newAuthority()
				bundle := joinPEM(ca.issue("", -90*day, -day), ca.issue("", -9*day, 90*day))
				s.certify(bundle, ca.issueLeaf(-9*day, 90*day))
			},
		},
		"expired intermediate": {
			change: func(s *checkServer) {
				ca := newAuthority()
				s.certify(ca.issue("", -90*day, 90*day), joinPEM(ca.issueLeaf(-9*day, 90*day), newCertificate("", -day)))
			},
			want: "failed: certificate-expiry: an intermediate of the certificate in Secret " +
				"sidecar-injector/sidecar-injector-tls has expired on DATE\n",
		},
		"empty Secret": {
			change: func(s *checkServer) { delete(s.object("Secret"), "data") },
			want: "failed: certificate-trusted: key tls.crt of Secret sidecar-injector/sidecar-injector-tls: there is no " +
				"valid certificate\n" + skippedLines("certificate-trusted", "certificate-expiry"),
		},
		"mounted Secret": {
			change: func(s *checkServer) {
				s.flag("--self-managed-tls=false")
				s.flag("--tls-cert-file=/tls/cert.pem")
				s.mount(map[string]any{"name": "t", "mountPath": "/tls/"}, map[string]any{
					"name": "t", "secret": map[string]any{
						"secretName": "mine", "items": []any{map[string]any{"key": "a", "path": "cert.pem"}},
					},
				})
				s.remove("ValidatingWebhookConfiguration")
				s.set("Secret", "metadata.name", "mine")
				s.set("Secret", "data", map[string]any{"a": newCertificate("other.svc", day)})
			},
			want: "failed: certificate-trusted: " + own + " does not trust the certificate in Secret sidecar-injector/mine: " +
				"x509: certificate is valid for other.svc, not sidecar-injector.sidecar-injector.svc\n" +
				"warning: certificate-expiry: the certificate in Secret sidecar-injector/mine expires on DATE\n",
		},
		"certificate elsewhere": {
			change: func(s *checkServer) {
				s.flag("--self-managed-tls=false")
				s.flag("--tls-cert-file=/tls/cert.pem")
			},
			want: "skipped: certificate-trusted: the certificate is not in a Secret; run the check in a pod\n" +
				"skipped: certificate-expiry: the certificate is not in a Secret; run the check in a pod\n",
		},
		"no certificate yet": {
			change: func(s *checkServer) { s.set("Secret", "data", map[string]any{}) },
			want: "failed: certificate-trusted: key tls.crt of Secret sidecar-injector/sidecar-injector-tls: there is no " +
				"valid certificate\n" + skippedLines("certificate-trusted", "certificate-expiry"),
			hint: "the injector writes the certificate and the caBundle: see replicas-ready, and its log",
		},
		"secrets forbidden": {
			change: func(s *checkServer) { s.forbidden = []string{"secrets/sidecar-injector"} },
			want: "skipped: certificate-trusted: cannot get secrets/sidecar-injector-tls in namespace sidecar-injector: " +
				"secrets/sidecar-injector is forbidden: User may not: grant it with a Role that has the verb get for secrets\n" +
				skippedLines("certificate-trusted", "certificate-expiry"),
		},
	}
}

// certifyBy issues a CA and a certificate. The days are relative to today.
func certifyBy(start, end, leafStart, leafEnd time.Duration) func(*checkServer) {
	return func(s *checkServer) {
		ca := newAuthority()
		s.certify(ca.issue("", start, end), ca.issueLeaf(leafStart, leafEnd))
	}
}

// joinPEM joins certificates in base64.
func joinPEM(certificates ...string) string {
	var all []byte
	for _, certificate := range certificates {
		text, _ := base64.StdEncoding.DecodeString(certificate)
		all = append(all, text...)
	}
	return base64.StdEncoding.EncodeToString(all)
}

// bundle sets the caBundle of the webhook for pods.
func (s *checkServer) bundle(text string) {
	s.pods()["clientConfig"].(map[string]any)["caBundle"] = text
}

func definitionCases() map[string]checkCase {
	return map[string]checkCase{
		"rejected": {
			change: func(s *checkServer) { s.set("ConfigMap", "data", map[string]any{"a": "name: a\nnonsense: 1\n"}) },
			want: "failed: definitions: rejected: configmap sidecar-injector/sidecar-injector-sidecars[a]:2: nonsense: " +
				"Forbidden: unknown field; no valid definition is found\n",
		},
		"no label": {
			change: func(s *checkServer) {
				s.add("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: sidecar-injector}\n" +
					"data: {a: text, b: \"{name: forgotten, containers: [{name: c, image: i}]}\"}\n")
			},
			want: "warning: definitions-labelled: ConfigMap sidecar-injector/x has the definition forgotten:latest, but not " +
				"the label app=k8s-sidecar-injector\n",
		},
		"no label and a typo": {
			change: func(s *checkServer) {
				s.add("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: sidecar-injector}\n" +
					"data: {a: \"name: forgotten\\ncontainerz: # typo\\n- {name: c, image: i}\\n\"}\n")
				s.add("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: z, namespace: sidecar-injector}\n" +
					"data: {a: \"{name: broken:v1, initContainers: [{name: c, image: i]}\"}\n")
			},
			want: "warning: definitions-labelled: ConfigMap sidecar-injector/x has the definition forgotten:latest, but not " +
				"the label app=k8s-sidecar-injector; ConfigMap sidecar-injector/z has the definition broken:v1, but not " +
				"the label app=k8s-sidecar-injector\n",
		},
		"other files with names": {
			change: func(s *checkServer) {
				for n, text := range []string{
					"name: shop\nservices: {web: {image: i}}\nvolumes: {data: {}}\n", // Compose
					"name: build\non: [push]\nenv: {A: b}\njobs: {a: {container: i, steps: [{run: x}]}}\n",
					"name: web\nimage: i\nenv:\n- {name: A, value: b}\nvolumeMounts:\n- {name: a, mountPath: /a}\n",
					"containers:\n- {name: a, image: [}\n",
					"name: app\ncontainers: 3\nspec:\n  containers:\n  - {name: a}\n",
					`{"name": "net", "cniVersion": "1.0.0", "plugins": [{"type": "loopback"}]}`,
				} {
					configMap := map[string]any{
						"apiVersion": "v1", "kind": "ConfigMap", "data": map[string]any{"a": text},
						"metadata": map[string]any{"name": strconv.Itoa(n), "namespace": "sidecar-injector"},
					}
					s.objects = append(s.objects, unstructured.Unstructured{Object: configMap})
				}
			},
		},
		"label in another namespace": {
			change: func(s *checkServer) { s.add(labelled("shop")) },
			want: "warning: definitions-labelled: ConfigMap shop/x has the label app=k8s-sidecar-injector, but " +
				"--configmap-namespace is sidecar-injector\n",
		},
		"label in the namespace of the injector": {
			change: func(s *checkServer) {
				s.add(labelled("shop"))
				s.flag("--configmap-namespace=shop")
				s.forbidden = []string{"configmaps"}
			},
			want: "warning: definitions-labelled: ConfigMap sidecar-injector/sidecar-injector-sidecars has the label " +
				"app=k8s-sidecar-injector, but --configmap-namespace is shop\n",
		},
		"empty directory": {
			change: func(s *checkServer) {
				s.flag("--config-directory=/conf")
				s.mount(map[string]any{"name": "c", "mountPath": "/conf"},
					map[string]any{"name": "c", "emptyDir": map[string]any{}})
			},
			want: "skipped: definitions: Deployment sidecar-injector/sidecar-injector: cannot read the config directory " +
				"/conf: volume c is not a ConfigMap; pass a copy of it with --config-directory\n",
		},
		"subPath": {
			change: func(s *checkServer) {
				s.flag("--config-directory=/conf")
				s.mount(map[string]any{"name": "c", "mountPath": "/conf/a.yaml", "subPath": "a"}, map[string]any{
					"name": "c", "configMap": map[string]any{"name": "files"},
				})
				s.add("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: files, namespace: sidecar-injector}\n" +
					"data: {a: \"{name: a, containers: [{name: c, image: i}]}\"}\n")
			},
			want: "warning: definitions-mounted: /conf/a.yaml is mounted with subPath, so the kubelet never updates it\n",
		},
		"stale": {
			change: func(s *checkServer) {
				s.metrics["two:9000"] = strings.Replace(goodMetrics, "documents 0", "documents 3", 1)
			},
			want: "warning: definitions-stale: pod two serves older versions of rejected definitions: 3\n",
		},
		"digests": {
			change: func(s *checkServer) { s.metrics["two:9000"] = strings.Replace(goodMetrics, "aaa", "bbb", 1) },
			want:   "failed: replicas-agree: replicas serve different definitions, by digest: aaa: one; bbb: two\n",
		},
		"unreachable metrics": {
			change: func(s *checkServer) { delete(s.metrics, "two:9000") },
			want: "skipped: definitions-stale: the replicas cannot be read through the API server: pod " +
				"sidecar-injector/two, port 9000: the server is currently unable to handle the request (get pods two:9000)\n" +
				"skipped: replicas-agree: the replicas cannot be read through the API server: pod " +
				"sidecar-injector/two, port 9000: the server is currently unable to handle the request (get pods two:9000)\n",
		},
		"one of three replicas unreachable": {
			change: func(s *checkServer) {
				s.add("apiVersion: v1\nkind: Pod\nmetadata: {name: three, namespace: sidecar-injector, " +
					"labels: {app.kubernetes.io/name: sidecar-injector, app.kubernetes.io/instance: sidecar-injector}}\n")
				delete(s.metrics, "one:9000")
				s.metrics["three:9000"] = strings.NewReplacer("aaa", "bbb", "documents 0", "documents 3").Replace(goodMetrics)
			},
			want: "warning: definitions-stale: pod three serves older versions of rejected definitions: 3\n" +
				"failed: replicas-agree: replicas serve different definitions, by digest: aaa: two; bbb: three\n",
		},
		"metrics forbidden": {
			change: func(s *checkServer) { s.forbidden = []string{"pods/proxy"} },
			want: "skipped: definitions-stale: cannot get pods/proxy in namespace sidecar-injector: pods/proxy is forbidden: " +
				"User \"u\" may not: grant it with a Role that has the verb get for pods/proxy\n" +
				skippedLines("definitions-stale", "replicas-agree"),
		},
	}
}

func labelled(namespace string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: " + namespace +
		", labels: {app: k8s-sidecar-injector}}\ndata: {a: \"{name: a, containers: [{name: c, image: i}]}\"}\n"
}

// mount adds a volume to the Deployment and mounts it.
func (s *checkServer) mount(mount, volume map[string]any) {
	spec := s.object("Deployment")["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
	spec["volumes"] = []any{volume}
	spec["containers"].([]any)[0].(map[string]any)["volumeMounts"] = []any{mount}
}

// uninstall removes all objects but namespaces.
func (s *checkServer) uninstall() {
	for _, kind := range slices.Collect(maps.Keys(s.kinds())) {
		if kind != "Namespace" {
			s.remove(kind)
		}
	}
}

func (s *checkServer) kinds() map[string]bool {
	kinds := make(map[string]bool)
	for _, object := range s.objects {
		kinds[object.GetKind()] = true
	}
	return kinds
}

func beforeCases() map[string]checkCase {
	before := []string{"--pre"}
	return map[string]checkCase{
		"before": {args: before, change: (*checkServer).uninstall},
		"before, installed": {
			args: before,
			want: "warning: other-injectors: Deployment sidecar-injector/sidecar-injector is installed already; webhook " +
				ownWebhook + " may inject sidecars for the same annotation\n",
		},
		"before, the original": {
			args: before,
			change: func(s *checkServer) {
				s.uninstall()
				s.add(strings.Replace(otherWebhook("injector.tumblr.com"), ".com.example.com", ".com", 1))
				s.add(otherWebhook("istio"))
			},
			want: "warning: other-injectors: webhook injector.tumblr.com/injector.tumblr.com may inject sidecars for the same " +
				"annotation\n",
		},
		"before, without policies": {
			args:   before,
			change: func(s *checkServer) { s.uninstall(); s.noPolicies = true },
			want: "failed: admission-policies: the API server does not serve validatingadmissionpolicies in " +
				"admissionregistration.k8s.io/v1\n",
		},
		"before, without access reviews": {
			args:   before,
			change: func(s *checkServer) { s.uninstall(); s.missing = "selfsubjectaccessreviews" },
			want: "failed: install-permissions: cannot create selfsubjectaccessreviews.authorization.k8s.io in all " +
				"namespaces: the server could not find the requested resource (post selfsubjectaccessreviews)\n",
			hint: "the API server does not serve this API: enable it, or upgrade the cluster",
		},
		"before, without permissions": {
			args:   []string{"--pre", "-n", "other"},
			change: func(s *checkServer) { s.uninstall(); s.denied = []string{"create secrets", "create clusterroles"} },
			want: "failed: install-permissions: the caller may not create clusterroles.rbac.authorization.k8s.io, create " +
				"secrets in namespace other\n",
		},
	}
}
