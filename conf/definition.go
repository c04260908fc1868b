package conf

import (
	corev1 "k8s.io/api/core/v1"
)

// definition is the sidecar format as Go types. It serves to check documents only: what is
// injected is encoded from the document itself, so that nothing is defaulted or lost.
type definition struct {
	Name                  string                        `json:"name"`
	Inherits              string                        `json:"inherits,omitempty"`
	PrependInitContainers []corev1.Container            `json:"prependInitContainers,omitempty"`
	InitContainers        []corev1.Container            `json:"initContainers,omitempty"`
	PrependContainers     []corev1.Container            `json:"prependContainers,omitempty"`
	Containers            []corev1.Container            `json:"containers,omitempty"`
	Volumes               []corev1.Volume               `json:"volumes,omitempty"`
	VolumeMounts          []corev1.VolumeMount          `json:"volumeMounts,omitempty"`
	Env                   []corev1.EnvVar               `json:"env,omitempty"`
	EnvFrom               []corev1.EnvFromSource        `json:"envFrom,omitempty"`
	AppliesTo             *AppliesTo                    `json:"appliesTo,omitempty"`
	Labels                map[string]string             `json:"labels,omitempty"`
	Annotations           map[string]string             `json:"annotations,omitempty"`
	ImagePullSecrets      []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`
	NodeSelector          map[string]string             `json:"nodeSelector,omitempty"`
	Tolerations           []corev1.Toleration           `json:"tolerations,omitempty"`
	HostAliases           []corev1.HostAlias            `json:"hostAliases,omitempty"`
	HostNetwork           bool                          `json:"hostNetwork,omitempty"`
	HostPID               bool                          `json:"hostPID,omitempty"`
	HostIPC               bool                          `json:"hostIPC,omitempty"`
	ShareProcessNamespace bool                          `json:"shareProcessNamespace,omitempty"`
	ServiceAccountName    string                        `json:"serviceAccountName,omitempty"`
	AllowedNamespaces     []string                      `json:"allowedNamespaces,omitempty"`
	SkipHostNetworkPods   bool                          `json:"skipHostNetworkPods,omitempty"`
	Parameters            map[string]parameter          `json:"parameters,omitempty"`
}

// containerList is one of the four lists of containers of a definition.
type containerList struct {
	name       string
	containers []corev1.Container
	init       bool
}

// containerLists are the four, in the order of the resulting pod.
func (d *definition) containerLists() []containerList {
	return []containerList{
		{"prependInitContainers", d.PrependInitContainers, true},
		{"initContainers", d.InitContainers, true},
		{"prependContainers", d.PrependContainers, false},
		{"containers", d.Containers, false},
	}
}

// tree is a definition, or a part of one, as it was written: JSON values with numbers kept
// as json.Number. It is never changed once it is parsed.
type tree = map[string]any

// namedLists are the lists whose elements a child replaces by name.
func namedLists() []string {
	return []string{
		"prependInitContainers", "initContainers", "prependContainers", "containers",
		"volumes", "volumeMounts", "env", "imagePullSecrets",
	}
}

// appendedLists are the lists whose elements have no name: a child's come behind its base's.
func appendedLists() []string {
	return []string{"envFrom", "tolerations", "hostAliases"}
}

// maps are the objects that a child overlays key by key.
func overlaidMaps() []string {
	return []string{"labels", "annotations", "nodeSelector", "parameters"}
}
