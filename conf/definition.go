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

	Name                string                      `json:"name"`
	Inherits            string                      `json:"inherits,omitempty"`
	AppliesTo           *AppliesTo                  `json:"appliesTo,omitempty"`
	CopyFrom            []CopyFrom                  `json:"copyFrom,omitempty"`
	AllowedNamespaces   []string                    `json:"allowedNamespaces,omitempty"`
	SkipHostNetworkPods bool                        `json:"skipHostNetworkPods,omitempty"`
	OS                  string                      `json:"os,omitempty"`
	InJobs              string                      `json:"inJobs,omitempty"`
	Parameters          map[string]params.Parameter `json:"parameters,omitempty"`
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
