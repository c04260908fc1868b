package mutate

import (
	"cmp"
	"errors"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	corev1 "k8s.io/api/core/v1"

	"k8s-sidecar-injector/conf"
)

// Request is the view of an AdmissionRequest (admission.k8s.io/v1 and v1beta1) with only the fields
// that merging needs. go-json-experiment/json decodes it in one pass and skips all other fields.
type Request struct {
	UID         string   `json:"uid"`
	Resource    Resource `json:"resource"`
	SubResource string   `json:"subResource"`
	Name        string   `json:"name"`
	Namespace   string   `json:"namespace"`
	Operation   string   `json:"operation"`
	DryRun      bool     `json:"dryRun"`
	Object      Object   `json:"object"`

	// NamespaceDefault returns the request annotation of the namespace, if it has one. It is called
	// at most once, and only if the decision depends on it. Nil means that namespaces have no
	// defaults. It is not part of a review.
	NamespaceDefault func() (request string, found bool, err error) `json:"-"`

	// DecodeObject decodes the object again, into a view of fields that only some decisions depend on. Nil means that
	// the object has none of them. It is not part of a review.
	DecodeObject func(view any) error `json:"-"`
}

// Resource is a metav1.GroupVersionResource.
type Resource struct {
	Group    string `json:"group"`
	Version  string `json:"version"`
	Resource string `json:"resource"`
}

// Object is the view of a core/v1 Pod. Absent and null fields are nil.
type Object struct {
	Metadata *Metadata `json:"metadata"`
	Spec     *Spec     `json:"spec"`
}

// metadata returns the metadata, or empty metadata.
func (o *Object) metadata() *Metadata {
	if o.Metadata == nil {
		return new(Metadata)
	}
	return o.Metadata
}

// Metadata is the view of the metadata of the pod.
type Metadata struct {
	Name         string      `json:"name"`
	GenerateName string      `json:"generateName"`
	Labels       Map         `json:"labels"`
	Annotations  Map         `json:"annotations"`
	Owners       List[Owner] `json:"ownerReferences"`
}

// Owner is the view of an owner reference.
type Owner struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	UID        string `json:"uid"`
	Controller bool   `json:"controller"`
}

// Spec is the view of the spec of the pod.
type Spec struct {
	InitContainers        Containers             `json:"initContainers"`
	Containers            Containers             `json:"containers"`
	Volumes               Volumes                `json:"volumes"`
	HostAliases           List[struct{}]         `json:"hostAliases"`
	ServiceAccountName    string                 `json:"serviceAccountName"`
	ServiceAccount        *string                `json:"serviceAccount"` // the deprecated alias
	AutomountToken        *bool                  `json:"automountServiceAccountToken"`
	HostNetwork           bool                   `json:"hostNetwork"`
	HostPID               bool                   `json:"hostPID"`
	HostIPC               bool                   `json:"hostIPC"`
	ShareProcessNamespace *bool                  `json:"shareProcessNamespace"`
	OS                    Named                  `json:"os"`
	RestartPolicy         corev1.RestartPolicy   `json:"restartPolicy"`
	ImagePullSecrets      List[Named]            `json:"imagePullSecrets"`
	NodeSelector          Map                    `json:"nodeSelector"`
	Tolerations           List[Toleration]       `json:"tolerations"`
	SpreadConstraints     List[SpreadConstraint] `json:"topologySpreadConstraints"`
}

// Container is the view of a container.
type Container struct {
	Name          string                     `json:"name"`
	RestartPolicy string                     `json:"restartPolicy"`
	Env           List[Named]                `json:"env"`
	EnvFrom       List[Source]               `json:"envFrom"`
	VolumeMounts  Mounts                     `json:"volumeMounts"`
	VolumeDevices List[corev1.VolumeDevice]  `json:"volumeDevices"`
	Ports         List[corev1.ContainerPort] `json:"ports"`
}

// Source is the view of an element of envFrom.
type Source struct {
	Prefix    string `json:"prefix"`
	ConfigMap Named  `json:"configMapRef"`
	Secret    Named  `json:"secretRef"`
}

// name returns what identifies the element.
func (s Source) name() string {
	return conf.EnvFromName(s.Prefix, s.ConfigMap.Name, s.Secret.Name)
}

// Toleration is the view of a toleration.
type Toleration struct {
	Key      string `json:"key"`
	Operator string `json:"operator"`
	Value    string `json:"value"`
	Effect   string `json:"effect"`
}

// name returns what identifies the toleration.
func (t Toleration) name() string {
	return conf.TolerationName(t.Key, t.Operator, t.Value, t.Effect)
}

// SpreadConstraint is the view of a topology spread constraint.
type SpreadConstraint struct {
	TopologyKey       string `json:"topologyKey"`
	WhenUnsatisfiable string `json:"whenUnsatisfiable"`
}

// name returns what identifies the constraint.
func (c SpreadConstraint) name() string {
	return conf.SpreadConstraintName(c.TopologyKey, c.WhenUnsatisfiable)
}

// Named is the view of an object with only its name.
type Named struct {
	Name string `json:"name"`
}

// Mount is the view of a volume mount.
type Mount struct {
	Name      string `json:"name"`
	MountPath string `json:"mountPath"`

	index int // in the list as received
}

// Variable is the view of an environment variable with its value.
type Variable struct {
	Name      string    `json:"name"`
	Value     string    `json:"value"`
	ValueFrom *struct{} `json:"valueFrom"`

	index int            // in the list as received
	json  jsontext.Value // as received
}

// UnmarshalJSONFrom decodes the variable, and keeps its JSON.
func (v *Variable) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	text, err := decoder.ReadValue()
	if err != nil {
		return err
	}
	type fields Variable
	*v = Variable{json: text.Clone()}
	err = json.Unmarshal(text, (*fields)(v))
	if wrong, ok := errors.AsType[*json.SemanticError](err); ok {
		wrong.JSONPointer = decoder.StackPointer() + wrong.JSONPointer
	}
	return err
}

// SetObject decodes the object from JSON, which must not be changed afterwards.
func (r *Request) SetObject(object []byte) error {
	r.Object = Object{}
	r.DecodeObject = func(view any) error { return json.Unmarshal(object, view) }
	return r.DecodeObject(&r.Object)
}

// DisplayName returns the name of the pod or, before the API server generates it, its prefix followed
// by `*`.
func (r *Request) DisplayName() string {
	metadata := r.Object.metadata()
	generated := metadata.GenerateName
	if generated != "" {
		generated += "*"
	}
	return cmp.Or(r.Name, metadata.Name, generated)
}

// Controller returns the owner reference of the controller of the pod, or nil. Its fields are not
// validated.
func (r *Request) Controller() *Owner {
	owners := r.Object.metadata().Owners
	for i := range owners {
		if owner := &owners[i]; owner.Controller {
			return owner
		}
	}
	return nil
}

// Owner returns Kind/name of the controller of the pod, or "".
func (r *Request) Owner() string {
	if owner := r.Controller(); owner != nil {
		return owner.Kind + "/" + owner.Name
	}
	return ""
}

// WithoutPod returns the request without its object, except for the names of the pod and its
// controller.
func (r *Request) WithoutPod() *Request {
	kept := struct { // one allocation
		request  Request
		metadata Metadata
		owners   [1]Owner
	}{request: *r}
	bare := &kept.request
	bare.NamespaceDefault, bare.DecodeObject = nil, nil // may refer to the pod
	metadata := r.Object.metadata()
	kept.metadata = Metadata{Name: metadata.Name, GenerateName: metadata.GenerateName}
	if owner := r.Controller(); owner != nil {
		kept.owners[0] = *owner
		kept.metadata.Owners = kept.owners[:]
	}
	bare.Object = Object{Metadata: &kept.metadata}
	return bare
}
