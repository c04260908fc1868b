package mutate

import "k8s-sidecar-injector/conf"

const (
	// mostContainers is far beyond any pod, and keeps a request of a few megabytes from
	// becoming gigabytes of view and patch.
	mostContainers = 10_000
	// mostAdded is how many bytes may be added to a pod. An API server takes no request above
	// 3 MiB, so a pod that grows by more could not be stored anyway.
	mostAdded = 4 << 20
	// operationSize is about what an operation is without its value.
	operationSize = 64
)

// addedSize is an upper bound, in bytes, of what a sidecar adds to a pod, known before
// anything is made of it.
func addedSize(spec *Spec, sidecar *conf.Sidecar) int {
	shared, containers := 0, 0
	for i := range sidecar.Env {
		shared += operationSize + len(sidecar.Env[i].JSON)
	}
	for i := range sidecar.VolumeMounts {
		shared += operationSize + len(sidecar.VolumeMounts[i].JSON)
	}
	if spec != nil {
		containers = len(spec.Containers) + len(spec.InitContainers)
	}
	return containers * shared
}
