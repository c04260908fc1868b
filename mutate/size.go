package mutate

import "k8s-sidecar-injector/conf"

const (
	// mostAdded is how many bytes may be added to a pod. An API server takes no request above
	// 3 MiB, so a pod that grows by more could not be stored anyway.
	mostAdded = 4 << 20
	// operationSize is about what an operation is without its value.
	operationSize = 64
)

// addedSize is an upper bound, in bytes, of what a sidecar adds to a pod, known before
// anything is made of it. What every container gets is multiplied by the containers of the
// pod, which is where a small sidecar becomes a large patch.
func addedSize(spec *Spec, sidecar *conf.Sidecar) int {
	containers := len(sidecar.Containers) + len(sidecar.InitContainers)
	if spec != nil {
		containers += len(spec.Containers) + len(spec.InitContainers)
	}
	return containers*(elementsSize(sidecar.Env)+mountsSize(sidecar.VolumeMounts)) + ownSize(sidecar)
}

// ownSize is of what the sidecar adds to a pod but once.
func ownSize(sidecar *conf.Sidecar) int {
	size := elementsSize(sidecar.Volumes) + containersSize(sidecar.Containers) + containersSize(sidecar.InitContainers)
	for _, alias := range sidecar.HostAliases {
		size += operationSize + len(alias)
	}
	return size
}

func containersSize(list []conf.Container) int {
	size := 0
	for i := range list {
		c := &list[i]
		size += operationSize + len(c.JSON) + elementsSize(c.Env) + mountsSize(c.VolumeMounts)
	}
	return size
}

func elementsSize(list []conf.Element) int {
	size := 0
	for i := range list {
		size += operationSize + len(list[i].JSON)
	}
	return size
}

func mountsSize(list []conf.Mount) int {
	size := 0
	for i := range list {
		size += operationSize + len(list[i].JSON)
	}
	return size
}
