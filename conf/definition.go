package conf

import (
	corev1 "k8s.io/api/core/v1"

	"k8s-sidecar-injector/conf/params"
	"k8s-sidecar-injector/conf/podrules"
)

// definition is the sidecar format as Go types. It serves to check documents only: what is injected
// is encoded from the document itself, so that nothing is defaulted or lost.
type definition struct {
	podrules.Definition

	Name                string                        `json:"name"`
	Inherits            string                        `json:"inherits,omitempty"`
	AppliesTo           *AppliesTo                    `json:"appliesTo,omitempty"`
	AllowedNamespaces   []string                      `json:"allowedNamespaces,omitempty"`
	SkipHostNetworkPods bool                          `json:"skipHostNetworkPods,omitempty"`
	Parameters          map[string]params.Declaration `json:"parameters,omitempty"`
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
