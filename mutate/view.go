package mutate

import (
	"strconv"
	"strings"
)

// Request is an AdmissionRequest (admission.k8s.io, v1 and v1beta1 alike) as far as merging
// reads it. It is decoded with go-json-experiment/json in one pass; all other members are
// passed over without memory.
type Request struct {
	UID         string   `json:"uid"`
	Resource    Resource `json:"resource"`
	SubResource string   `json:"subResource"`
	Name        string   `json:"name"`
	Namespace   string   `json:"namespace"`
	Operation   string   `json:"operation"`
	DryRun      bool     `json:"dryRun"`
	Object      Object   `json:"object"`

	// Default is the request annotation of the namespace. It counts where the pod has none; nil
	// where the namespace has none either, or has nothing to say. It is no part of a review.
	Default *string `json:"-"`
}

// Resource is a metav1.GroupVersionResource.
type Resource struct {
	Group    string `json:"group"`
	Version  string `json:"version"`
	Resource string `json:"resource"`
}

// Object is the view of a core/v1 Pod. What is absent or null is nil.
type Object struct {
	Metadata *Metadata `json:"metadata"`
	Spec     *Spec     `json:"spec"`
}

// metadata is never nil.
func (o *Object) metadata() *Metadata {
	if o.Metadata == nil {
		return new(Metadata)
	}
	return o.Metadata
}

// Metadata is the view of the pod's metadata.
type Metadata struct {
	Name         string `json:"name"`
	GenerateName string `json:"generateName"`
	Labels       Pairs  `json:"labels"`
	Annotations  Pairs  `json:"annotations"`
	Owners       Owners `json:"ownerReferences"`
}

// Owner is the view of an owner reference.
type Owner struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	UID        string `json:"uid"`
	Controller bool   `json:"controller"`
}

// Spec is the view of the pod's spec.
type Spec struct {
	InitContainers        Containers  `json:"initContainers"`
	Containers            Containers  `json:"containers"`
	Volumes               Volumes     `json:"volumes"`
	HostAliases           HostAliases `json:"hostAliases"`
	ServiceAccountName    string      `json:"serviceAccountName"`
	ServiceAccount        *string     `json:"serviceAccount"` // the deprecated alias
	AutomountToken        *bool       `json:"automountServiceAccountToken"`
	HostNetwork           bool        `json:"hostNetwork"`
	HostPID               bool        `json:"hostPID"`
	HostIPC               bool        `json:"hostIPC"`
	ShareProcessNamespace *bool       `json:"shareProcessNamespace"`
	ImagePullSecrets      Names       `json:"imagePullSecrets"`
	NodeSelector          Pairs       `json:"nodeSelector"`
	Tolerations           Tolerated   `json:"tolerations"`
}

// Container is the view of a container.
type Container struct {
	Name          string  `json:"name"`
	RestartPolicy string  `json:"restartPolicy"`
	Env           Names   `json:"env"`
	EnvFrom       Sources `json:"envFrom"`
	VolumeMounts  Mounts  `json:"volumeMounts"`
	VolumeDevices Devices `json:"volumeDevices"`
	Ports         Ports   `json:"ports"`
}

// Source is the view of an element of envFrom.
type Source struct {
	Prefix    string `json:"prefix"`
	ConfigMap Named  `json:"configMapRef"`
	Secret    Named  `json:"secretRef"`
}

// Named is the view of anything of which only the name matters.
type Named struct {
	Name string `json:"name"`
}

// Mount is the view of a volume mount.
type Mount struct {
	Name      string `json:"name"`
	MountPath string `json:"mountPath"`

	at int // where in the list it stands
}

// kubernetes.io/config.mirror marks a pod that a kubelet made for a static pod: the API
// server refuses any change to it.
const (
	mirrorNamespace = "kubernetes.io"
	mirrorName      = "config.mirror"
)

// DisplayName is the pod's name or, while the API server has not made one yet, the prefix of
// it followed by `*`.
func (r *Request) DisplayName() string {
	metadata := r.Object.metadata()
	switch {
	case r.Name != "":
		return r.Name
	case metadata.Name != "":
		return metadata.Name
	case metadata.GenerateName != "":
		return metadata.GenerateName + "*"
	}
	return ""
}

// Controller is the controller that made the pod; nil if there is none. Nothing of it was
// validated yet.
func (r *Request) Controller() *Owner {
	owners := r.Object.metadata().Owners
	for i := range owners {
		if owner := &owners[i]; owner.Controller {
			return owner
		}
	}
	return nil
}

// Owner is Kind/name of the controller that made the pod; empty if there is none.
func (r *Request) Owner() string {
	if owner := r.Controller(); owner != nil {
		return owner.Kind + "/" + owner.Name
	}
	return ""
}

// WithoutPod returns the request without its object, except for the names of the pod and its
// controller.
func (r *Request) WithoutPod() *Request {
	bare := *r
	metadata := r.Object.metadata()
	bare.Object = Object{Metadata: &Metadata{Name: metadata.Name, GenerateName: metadata.GenerateName}}
	if owner := r.Controller(); owner != nil {
		bare.Object.Metadata.Owners = Owners{*owner}
	}
	return &bare
}

// quoted makes text that a user wrote fit for a message: quoted, and not too long.
func quoted(text string) string {
	const most = 80
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return strconv.Quote(text)
}
