package inspect

import "slices"

// The categories.
const (
	categoryAPI          = "Kubernetes API"
	categoryInstallation = "Installation"
	categoryWebhooks     = "Webhooks"
	categoryCertificates = "Certificates"
	categoryDefinitions  = "Definitions"
	categoryBefore       = "Before the installation"
)

// apiChecks are the checks of the API server. They come first.
func apiChecks() []check {
	return []check{
		{
			categoryAPI, "kubernetes-api", true,
			"check --kubeconfig and --context, and that the API server runs", (*checkup).checkAPI,
		},
		{categoryAPI, "kubernetes-version", false, "upgrade the cluster", (*checkup).checkVersion},
		{categoryAPI, "clock", false, "synchronize the clocks of this machine and of the API server", (*checkup).checkClock},
	}
}

// checks are the checks of an installation, in the order in which they run.
func checks() []check {
	return slices.Concat(apiChecks(), installationChecks(), webhookChecks(), certificateChecks(), definitionChecks())
}

func installationChecks() []check {
	return []check{
		{
			categoryInstallation, "installation", true,
			"install the chart, or name the Deployment with --injector=NAMESPACE/NAME", (*checkup).checkInstallation,
		},
		{
			categoryInstallation, "flags", false,
			"correct the arguments and variables of the container", (*checkup).checkFlags,
		},
		{
			categoryInstallation, "replicas-ready", false,
			"see `kubectl describe pods` and `kubectl logs` in the namespace of the injector", (*checkup).checkReplicas,
		},
		{
			categoryInstallation, "permissions", false,
			"apply the RBAC rules of the chart for the flags in use", (*checkup).checkPermissions,
		},
	}
}

func webhookChecks() []check {
	return []check{
		{
			categoryWebhooks, "webhook-configurations", false,
			"install the webhook configurations of the chart, or correct the rules of the webhook, or the selector of the " +
				"Service",
			(*checkup).checkConfigurations,
		},
		{
			categoryWebhooks, "webhook-targets", false,
			"correct the Service, port or path in the clientConfig of the webhook", (*checkup).checkTargets,
		},
		{
			categoryWebhooks, "endpoints", false,
			"compare the selector of the Service with the labels of the pods, and see why they are not ready",
			(*checkup).checkEndpoints,
		},
		{
			categoryWebhooks, "availability", false,
			"with failurePolicy Fail, run two replicas or more and a PodDisruptionBudget", (*checkup).checkAvailability,
		},
		{
			categoryWebhooks, "webhook-selectors", false,
			"correct the namespaceSelector or objectSelector of the webhook", (*checkup).checkSelectors,
		},
		{
			categoryWebhooks, "other-webhooks", false,
			"set reinvocationPolicy: IfNeeded for the webhook of the injector", (*checkup).checkOthers,
		},
		{
			categoryWebhooks, "webhook-called", false,
			"compare the rules, matchConditions and selectors of the webhook with those of the chart; see the log of the API " +
				"server, and `kubectl get --raw /metrics | grep webhook_fail_open`; only with failurePolicy Fail, this check " +
				"has the error of the call",
			(*checkup).checkCall,
		},
	}
}

func certificateChecks() []check {
	return []check{
		{
			categoryCertificates, "ca-bundle", false,
			"see the log of the injector, or set the caBundle to the CA of the certificate", (*checkup).checkBundles,
		},
		{
			categoryCertificates, "certificate-trusted", false,
			"issue the certificate for the DNS name of the Service, by a CA of the caBundle", (*checkup).checkTrust,
		},
		{
			categoryCertificates, "certificate-expiry", false,
			"renew the certificate or the CA, or correct the clocks; if the injector manages them, see its log",
			(*checkup).checkExpiry,
		},
	}
}

func definitionChecks() []check {
	return []check{
		{
			categoryDefinitions, "definitions", false,
			"correct the documents; `validate` prints all errors", (*checkup).checkDefinitions,
		},
		{
			categoryDefinitions, "definitions-labelled", false,
			"add the label to the ConfigMap, move it to the namespace of --configmap-namespace, or remove the definition",
			(*checkup).checkLabels,
		},
		{
			categoryDefinitions, "definitions-mounted", false,
			"mount the ConfigMap as a directory, without subPath", (*checkup).checkMounts,
		},
		{
			categoryDefinitions, "definitions-stale", false,
			"correct the rejected documents; until then, their last valid version is served", (*checkup).checkStale,
		},
		{
			categoryDefinitions, "replicas-agree", false,
			"wait a minute for a change to reach all replicas, then see their logs", (*checkup).checkDigests,
		},
	}
}

// checksBefore are the checks before an installation, in the order in which they run.
func checksBefore() []check {
	return append(apiChecks(), []check{
		{
			categoryBefore, "admission-policies", false,
			"enable the API ValidatingAdmissionPolicy, or install with tls.mode other than selfManaged",
			(*checkup).checkPolicies,
		},
		{
			categoryBefore, "install-permissions", false,
			"install as a cluster administrator", (*checkup).checkMayInstall,
		},
		{
			categoryBefore, "other-injectors", false,
			"remove the other injector, or install with another annotationNamespace", (*checkup).checkOtherInjectors,
		},
	}...)
}
