package conf

import (
	corev1 "k8s.io/api/core/v1"

	"k8s-sidecar-injector/conf/params"
	"k8s-sidecar-injector/conf/podrules"
)

// definition is the sidecar format as Go types. It is used for validation only. Elements are encoded from the
// document itself, so that nothing is defaulted or lost.
type definition struct {
	podrules.Definition

	// Name of the sidecar, `name` or `name:version`. The version is `latest` by default. Required.
	Name string `json:"name"`
	// Ref of a definition to inherit from, or the path of a file relative to this one.
	Inherits string `json:"inherits,omitempty"`
	// Containers that get `prependEnv`, `env`, `extendEnv`, `envFrom` and `volumeMounts`. Absent: all.
	AppliesTo *AppliesTo `json:"appliesTo,omitempty"`
	// Variables and mounts of a container of the pod that are copied into the containers of the definition. A
	// variable, volume or path that such a container already has is not changed.
	CopyFrom []CopyFrom `json:"copyFrom,omitempty"`
	// Namespaces whose pods may use the sidecar. In a name, `*` matches any text. Absent: all; empty: none.
	AllowedNamespaces []string `json:"allowedNamespaces,omitempty"`
	// Skips pods with `hostNetwork` when true. Not together with `hostNetwork`.
	SkipHostNetworkPods bool `json:"skipHostNetworkPods,omitempty"`
	// Operating system that the sidecar runs on: `linux`, `windows` or `any`. Pods of another one are skipped.
	OS string `json:"os,omitempty"`
	// What happens in pods that run to completion: `keep` adds the containers as they are, `native` makes native
	// sidecars of them, and `skip` skips the pod.
	InJobs string `json:"inJobs,omitempty"`
	// Values that a pod may set by annotations.
	Parameters map[string]params.Parameter `json:"parameters,omitempty"`
}

// containerList is one of the four lists of containers of a definition.
type containerList struct {
	name       string
	containers []corev1.Container
}

// containerLists returns the four lists, in the order of the resulting pod.
func (d *definition) containerLists() []containerList {
	return []containerList{
		{"prependInitContainers", d.PrependInitContainers},
		{"initContainers", d.InitContainers},
		{"prependContainers", d.PrependContainers},
		{"containers", d.Containers},
	}
}

// tree is a decoded definition or a part of one, with numbers as json.Number. It is not changed after parsing.
type tree = map[string]any

// namedLists returns the lists whose elements are merged by name.
func namedLists() []string {
	return []string{
		"prependInitContainers", "initContainers", "prependContainers", "containers",
		"volumes", "volumeMounts", "prependEnv", "env", "extendEnv", "imagePullSecrets",
		"dnsConfig.options", "podSecurityContext.sysctls",
	}
}

// appendedLists returns the lists that are concatenated, because their elements have no name.
func appendedLists() []string {
	return []string{
		"envFrom", "tolerations", "hostAliases", "topologySpreadConstraints", "copyFrom",
		"dnsConfig.nameservers", "dnsConfig.searches", "podSecurityContext.supplementalGroups",
	}
}

// mergedObjects returns the objects that are merged by field.
func mergedObjects() []string {
	return []string{"affinity", "dnsConfig", "podSecurityContext"}
}

// combinedObjects returns the objects whose fields are added to an object of the pod that may have others.
func combinedObjects() []string {
	return []string{"dnsConfig", "podSecurityContext"}
}

// overlaidMaps returns the objects that are merged by key.
func overlaidMaps() []string {
	return []string{"labels", "annotations", "extendAnnotations", "nodeSelector", "parameters"}
}
