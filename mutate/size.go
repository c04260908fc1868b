package mutate

import "k8s-sidecar-injector/conf"

const (
	// mostAdded is how many bytes may be added to a pod. etcd takes no object above 1.5 MiB, so a pod
	// that grows by more could not be stored anyway.
	mostAdded = 3 << 19
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
		each += sizeOf(s.Env) + sizeOf(s.EnvFrom) + sizeOf(s.VolumeMounts)
		once += ownSize(s)
	}
	return containers*each + once
}

// ownSize is of what the sidecar adds to a pod but once.
func ownSize(s *conf.Sidecar) int {
	size := sizeOf(s.Volumes) + sizeOf(s.ImagePullSecrets) + sizeOf(s.Tolerations) + sizeOf(s.HostAliases) +
		pairsSize(s.Labels) + pairsSize(s.Annotations) + pairsSize(s.NodeSelector)
	for _, list := range [][]conf.Container{s.PrependInitContainers, s.InitContainers, s.PrependContainers, s.Containers} {
		size += sizeOf(list)
		for i := range list {
			size += sizeOf(list[i].Env) + sizeOf(list[i].EnvFrom) + sizeOf(list[i].VolumeMounts)
		}
	}
	return size
}

func sizeOf[E any, P element[E]](list []E) int {
	size := 0
	for i := range list {
		size += operationSize + len(P(&list[i]).Bytes())
	}
	return size
}

func pairsSize(list []conf.Pair) int {
	size := sizeOf(list)
	for i := range list {
		size += len(list[i].Key)
	}
	return size
}
