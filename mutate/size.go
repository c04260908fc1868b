package mutate

import "k8s-sidecar-injector/conf"

const (
	// mostAdded is how many bytes may be added to a pod. An API server takes no request above
	// 3 MiB, so a pod that grows by more could not be stored anyway.
	mostAdded = 4 << 20
	// operationSize is about what an operation is without its value.
	operationSize = 64
)

// addedSize is an upper bound, in bytes, of what sidecars add to a pod, known before anything is
// made of it. What every container gets is multiplied by the containers of the pod, which is
// where a small sidecar becomes a large patch.
func addedSize(spec *Spec, sidecars []*conf.Sidecar) int {
	containers, each, once := 0, 0, 0
	if spec != nil {
		containers = len(spec.Containers) + len(spec.InitContainers)
	}
	for _, s := range sidecars {
		containers += containersOf(s)
		each += envSize(s.Env) + envFromSize(s.EnvFrom) + mountsSize(s.VolumeMounts)
		once += ownSize(s)
	}
	return containers*each + once
}

// ownSize is of what the sidecar adds to a pod but once.
func ownSize(s *conf.Sidecar) int {
	size := elementsSize(s.Volumes) + elementsSize(s.ImagePullSecrets) +
		pairsSize(s.Labels) + pairsSize(s.Annotations) + pairsSize(s.NodeSelector)
	for _, list := range [][]conf.Container{s.PrependInitContainers, s.InitContainers, s.PrependContainers, s.Containers} {
		size += containersSize(list)
	}
	for i := range s.Tolerations {
		size += operationSize + len(s.Tolerations[i].JSON)
	}
	for _, alias := range s.HostAliases {
		size += operationSize + len(alias.JSON)
	}
	return size
}

func containersSize(list []conf.Container) int {
	size := 0
	for i := range list {
		c := &list[i]
		size += operationSize + len(c.JSON) + envSize(c.Env) + envFromSize(c.EnvFrom) + mountsSize(c.VolumeMounts)
	}
	return size
}

func pairsSize(list []conf.Pair) int {
	size := 0
	for i := range list {
		size += operationSize + len(list[i].Key) + len(list[i].Value)
	}
	return size
}

func envSize(list []conf.Env) int {
	size := 0
	for i := range list {
		size += operationSize + len(list[i].JSON)
	}
	return size
}

func envFromSize(list []conf.EnvFrom) int {
	size := 0
	for i := range list {
		size += operationSize + len(list[i].JSON)
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
