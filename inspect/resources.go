package inspect

func pods() resource        { return resource{prefix: "/api/v1", name: "pods"} }
func configMaps() resource  { return resource{prefix: "/api/v1", name: "configmaps"} }
func deployments() resource { return resource{prefix: "/apis/apps/v1", name: "deployments"} }
func namespaces() resource  { return resource{prefix: "/api/v1", name: "namespaces", metadata: true} }
func replicaSets() resource {
	return resource{prefix: "/apis/apps/v1", name: "replicasets", metadata: true}
}
func jobs() resource { return resource{prefix: "/apis/batch/v1", name: "jobs", metadata: true} }
