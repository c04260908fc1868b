package inspect

func pods() resource        { return resource{prefix: "/api/v1", name: "pods"} }
func configMaps() resource  { return resource{prefix: "/api/v1", name: "configmaps"} }
func deployments() resource { return resource{prefix: "/apis/apps/v1", name: "deployments"} }
func namespaces() resource  { return resource{prefix: "/api/v1", name: "namespaces", metadata: true} }

func replicaSets() resource {
	return resource{prefix: "/apis/apps/v1", name: "replicasets", metadata: true}
}
func jobs() resource { return resource{prefix: "/apis/batch/v1", name: "jobs", metadata: true} }

func podMetadataOnly() resource {
	return resource{prefix: "/api/v1", name: "pods", metadata: true}
}

func statefulSets() resource { return resource{prefix: "/apis/apps/v1", name: "statefulsets"} }
func daemonSets() resource   { return resource{prefix: "/apis/apps/v1", name: "daemonsets"} }

func services() resource { return resource{prefix: "/api/v1", name: "services"} }
func secrets() resource  { return resource{prefix: "/api/v1", name: "secrets"} }
func endpointSlices() resource {
	return resource{prefix: "/apis/discovery.k8s.io/v1", name: "endpointslices"}
}
func budgets() resource { return resource{prefix: "/apis/policy/v1", name: "poddisruptionbudgets"} }
func mutatingConfigurations() resource {
	return resource{prefix: admissionPrefix, name: "mutatingwebhookconfigurations"}
}

func validatingConfigurations() resource {
	return resource{prefix: admissionPrefix, name: "validatingwebhookconfigurations"}
}

func accessReviews() resource {
	return resource{prefix: "/apis/authorization.k8s.io/v1", name: "subjectaccessreviews"}
}

func selfAccessReviews() resource {
	return resource{prefix: "/apis/authorization.k8s.io/v1", name: "selfsubjectaccessreviews"}
}

const admissionPrefix = "/apis/admissionregistration.k8s.io/v1"
