package conf

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"k8s-sidecar-injector/conf/params"
	"k8s-sidecar-injector/conf/podrules"
)

// Sidecar is a definition with all that it inherits, encoded once so that a review only copies bytes.
// It is immutable and safe for concurrent use.
type Sidecar struct {
	Ref    Ref
	Origin Origin
	// Digest is the SHA-256 of the definition's content in lower-case hex. It does not
	// depend on the origin, on key order or on formatting.
	Digest string
	// Stale is set if the origin has a later version, which was rejected.
	Stale bool
	// Level is the strictest level of the Pod Security Standards that the definition meets.
	Level podrules.Level

	// PrependInitContainers and PrependContainers come before the containers of the pod, the other two
	// after them.
	PrependInitContainers, InitContainers []Container
	PrependContainers, Containers         []Container

	Volumes []Element
	// VolumeMounts, Env and EnvFrom are added to every container that AppliesTo covers.
	VolumeMounts []Mount
	Env          []Element
	EnvFrom      []EnvFrom
	AppliesTo    *AppliesTo // nil covers every container

	Labels, Annotations, NodeSelector []Pair // by key

	ImagePullSecrets      []Element
	Tolerations           []Toleration
	HostAliases           []RawJSON
	HostNetwork           bool
	HostPID               bool
	HostIPC               bool
	ShareProcessNamespace bool
	ServiceAccountName    string // empty: the pod keeps its own

	// AllowedNamespaces are patterns of namespaces that may use the sidecar. Nil allows all.
	AllowedNamespaces []string
	// SkipHostNetworkPods is set if pods with hostNetwork do not get the sidecar.
	SkipHostNetworkPods bool

	// Parameters have the values that Render needs, in this order. The implicit ones come last.
	Parameters []params.Parameter

	source   *decoded // nil if Parameters is empty
	rendered []string // the values in the JSON; nil if some of them are samples
}

// Unused returns the names of parameters without a placeholder.
func (s *Sidecar) Unused() []string {
	var names []string
	for i := range s.Parameters {
		used := slices.ContainsFunc(s.source.texts, func(t *params.Text) bool { return slices.Contains(t.Numbers, i) })
		if !used {
			names = append(names, s.Parameters[i].Name)
		}
	}
	return names
}

// RawJSON is an encoded value.
type RawJSON struct {
	JSON []byte
}

// Bytes returns the JSON.
func (j *RawJSON) Bytes() []byte {
	return j.JSON
}

// Element is a named element of a list with its JSON.
type Element struct {
	Name string
	RawJSON
}

// EnvFrom is a source of variables with its JSON. One of ConfigMap and Secret is set.
type EnvFrom struct {
	EnvSource
	RawJSON
}

// EnvSource identifies a source of variables. It is comparable.
type EnvSource struct {
	Prefix    string
	ConfigMap string
	Secret    string
}

// String returns a text such as `configMapRef settings` or `secretRef db, prefix DB_`.
func (e EnvSource) String() string {
	text := "configMapRef " + e.ConfigMap
	if e.Secret != "" {
		text = "secretRef " + e.Secret
	}
	if e.Prefix != "" {
		text += ", prefix " + e.Prefix
	}
	return text
}

// Pair is a member of a map of strings with the JSON of its value.
type Pair struct {
	Key   string
	Value string
	RawJSON
}

// Toleration is a toleration with its JSON.
type Toleration struct {
	Tolerated
	RawJSON
}

// Tolerated is what a toleration matches. Two tolerations that match the same taints are one, whatever
// their tolerationSeconds. It is comparable.
type Tolerated struct {
	Key      string `json:"key"`
	Operator string `json:"operator"` // Equal by default
	Value    string `json:"value"`
	Effect   string `json:"effect"`
}

// String returns the format of kubectl describe: `dedicated=gpu:NoSchedule` or
// `dedicated:NoSchedule op=Exists`.
func (t Tolerated) String() string {
	text := t.Key
	if t.Value != "" {
		text += "=" + t.Value
	}
	if t.Effect != "" {
		text += ":" + t.Effect
	}
	if t.Operator != string(corev1.TolerationOpEqual) {
		text += " op=" + t.Operator
	}
	return strings.TrimSpace(text)
}

// Mount is an element of volumeMounts. Path is its mountPath as written.
type Mount struct {
	Element
	Path string
}

// Container is a container. Its JSON is an object without env, envFrom and volumeMounts, which merging
// adds to. The object is never empty.
type Container struct {
	Element
	Env          []Element
	EnvFrom      []EnvFrom
	VolumeMounts []Mount
	Devices      []Device
	Ports        []Port
}

// Device is a block device of a container: its volume and devicePath. A mount of the same container
// may have neither.
type Device struct {
	Name string `json:"name"`
	Path string `json:"devicePath"`
}

// Port has the fields of a container port that may conflict on the node. HostPort is 0 if the author
// set none.
type Port struct {
	ContainerPort int32  `json:"containerPort"`
	HostPort      int32  `json:"hostPort"`
	Protocol      string `json:"protocol"`
	HostIP        string `json:"hostIP"`
}
