package conf

import (
	corev1 "k8s.io/api/core/v1"
)

// definition is the sidecar format as Go types. It serves to check documents only: what is
// injected is encoded from the document itself, so that nothing is defaulted or lost.
type definition struct {
	Name               string               `json:"name"`
	Inherits           string               `json:"inherits,omitempty"`
	Containers         []corev1.Container   `json:"containers,omitempty"`
	InitContainers     []corev1.Container   `json:"initContainers,omitempty"`
	Volumes            []corev1.Volume      `json:"volumes,omitempty"`
	VolumeMounts       []corev1.VolumeMount `json:"volumeMounts,omitempty"`
	Env                []corev1.EnvVar      `json:"env,omitempty"`
	HostAliases        []corev1.HostAlias   `json:"hostAliases,omitempty"`
	HostNetwork        bool                 `json:"hostNetwork,omitempty"`
	HostPID            bool                 `json:"hostPID,omitempty"`
	ServiceAccountName string               `json:"serviceAccountName,omitempty"`
}

// tree is a definition, or a part of one, as it was written: JSON values with numbers kept
// as json.Number. It is never changed once it is parsed.
type tree = map[string]any

// namedLists are the lists whose elements a child replaces by name.
func namedLists() []string {
	return []string{"containers", "initContainers", "volumes", "volumeMounts", "env"}
}
