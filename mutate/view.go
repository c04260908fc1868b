package mutate

import (
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
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
}

// Resource is a metav1.GroupVersionResource.
type Resource struct {
	Group    string `json:"group"`
	Version  string `json:"version"`
	Resource string `json:"resource"`
}

// Object is the view of a core/v1 Pod. Lists that are absent or null are nil.
type Object struct {
	Metadata Metadata `json:"metadata"`
	Spec     *Spec    `json:"spec"`
}

// Metadata is the view of the pod's metadata.
type Metadata struct {
	Name         string      `json:"name"`
	GenerateName string      `json:"generateName"`
	Annotations  Annotations `json:"annotations"`
	Owners       Owners      `json:"ownerReferences"`
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
	InitContainers        Containers `json:"initContainers"`
	Containers            Containers `json:"containers"`
	Volumes               Volumes    `json:"volumes"`
	HostAliases           []struct{} `json:"hostAliases"`
	ServiceAccountName    string     `json:"serviceAccountName"`
	ServiceAccount        *string    `json:"serviceAccount"` // the deprecated alias
	AutomountToken        *bool      `json:"automountServiceAccountToken"`
	HostNetwork           bool       `json:"hostNetwork"`
	HostPID               bool       `json:"hostPID"`
	HostUsers             *bool      `json:"hostUsers"`
	ShareProcessNamespace bool       `json:"shareProcessNamespace"`
	RestartPolicy         string     `json:"restartPolicy"`
	GracePeriod           *int64     `json:"terminationGracePeriodSeconds"`
	ResourceClaims        Names      `json:"resourceClaims"`
	HostnameOverride      *string    `json:"hostnameOverride"`
	OS                    Named      `json:"os"`
	SecurityContext       Security   `json:"securityContext"`
}

// Security is the view of the pod's security context.
type Security struct {
	Sysctls Names `json:"sysctls"`
}

// Container is the view of a container.
type Container struct {
	Name          string  `json:"name"`
	RestartPolicy string  `json:"restartPolicy"`
	Env           Names   `json:"env"`
	VolumeMounts  Mounts  `json:"volumeMounts"`
	VolumeDevices Devices `json:"volumeDevices"`
	Ports         Ports   `json:"ports"`
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

// Annotations are those of the pod's annotations that this program may read; the others are
// not kept.
type Annotations struct {
	kept []annotation
}

type annotation struct {
	key, value string
}

// kubernetes.io/config.mirror marks a pod that a kubelet made for a static pod: the API
// server refuses any change to it.
const (
	mirrorNamespace = "kubernetes.io"
	mirrorName      = "config.mirror"
)

// UnmarshalJSONFrom reads an object of strings and keeps what is ours. A null value counts as
// the empty string, as for any map[string]string of the API.
func (a *Annotations) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	*a = Annotations{}
	if decoder.PeekKind() == 'n' {
		return decoder.SkipValue()
	}
	if decoder.PeekKind() != '{' {
		return wrongKind(decoder)
	}
	if _, err := decoder.ReadToken(); err != nil {
		return err
	}
	for decoder.PeekKind() == '"' {
		if err := a.readOne(decoder); err != nil {
			return err
		}
	}
	_, err := decoder.ReadToken()
	return err
}

func (a *Annotations) readOne(decoder *jsontext.Decoder) error {
	name, err := decoder.ReadToken()
	if err != nil {
		return err
	}
	key := name.String()
	if kind := decoder.PeekKind(); kind != '"' && kind != 'n' {
		return wrongKind(decoder)
	}
	if !ours(key) {
		return decoder.SkipValue()
	}
	value, err := decoder.ReadToken()
	if err != nil {
		return err
	}
	text := ""
	if value.Kind() == '"' {
		text = value.String()
	}
	a.kept = append(a.kept, annotation{key: key, value: text})
	return nil
}

// ours tells the keys that may matter, whatever the annotation namespace is.
func ours(key string) bool {
	switch key[strings.LastIndexByte(key, '/')+1:] {
	case requestKey, statusKey, mirrorName:
		return true
	}
	return false
}

// wrongKind reports a value of another kind than the API gives it, or no value at all.
func wrongKind(decoder *jsontext.Decoder) error {
	if decoder.PeekKind() == jsontext.KindInvalid {
		return decoder.SkipValue()
	}
	return unexpected(decoder.PeekKind())
}

// find gives the value of namespace/name.
func (a *Annotations) find(namespace, name string) (string, bool) {
	for _, candidate := range a.kept {
		key := candidate.key
		if len(key) == len(namespace)+1+len(name) && key[:len(namespace)] == namespace &&
			key[len(namespace)] == '/' && key[len(namespace)+1:] == name {
			return candidate.value, true
		}
	}
	return "", false
}

// DisplayName is the pod's name or, while the API server has not made one yet, the prefix of
// it followed by `*`.
func (r *Request) DisplayName() string {
	switch {
	case r.Name != "":
		return r.Name
	case r.Object.Metadata.Name != "":
		return r.Object.Metadata.Name
	case r.Object.Metadata.GenerateName != "":
		return r.Object.Metadata.GenerateName + "*"
	}
	return ""
}

// Controller is the controller that made the pod; nil if there is none. Nothing of it was
// validated yet.
func (r *Request) Controller() *Owner {
	for i := range r.Object.Metadata.Owners {
		if owner := &r.Object.Metadata.Owners[i]; owner.Controller {
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

// quoted makes text that a user wrote fit for a message: quoted, and not too long.
func quoted(text string) string {
	const most = 80
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return strconv.Quote(text)
}
