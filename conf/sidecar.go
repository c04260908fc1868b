package conf

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"k8s-sidecar-injector/conf/podrules"
)

// Sidecar is one definition with all that it inherits, encoded once so that a review only
// copies bytes. It is immutable and safe for concurrent use.
type Sidecar struct {
	Ref    Ref
	Origin Origin
	// Digest is the SHA-256 of the definition's content in lower-case hex. It does not
	// depend on the origin, on key order or on formatting.
	Digest string
	// Stale tells that the origin has changed since to something that was rejected.
	Stale bool
	// Level is the strictest level of the Pod Security Standards that the definition meets.
	Level podrules.Level

	// PrependInitContainers and PrependContainers come before the pod's own, the other two
	// behind them.
	PrependInitContainers, InitContainers []Container
	PrependContainers, Containers         []Container

	Volumes []Element
	// VolumeMounts, Env and EnvFrom go into every container that AppliesTo covers.
	VolumeMounts []Mount
	Env          []Element
	EnvFrom      []EnvFrom
	AppliesTo    *AppliesTo // nil: every container

	Labels, Annotations, NodeSelector []Pair // by key

	ImagePullSecrets      []Element
	Tolerations           []Toleration
	HostAliases           []Text
	HostNetwork           bool
	HostPID               bool
	HostIPC               bool
	ShareProcessNamespace bool
	ServiceAccountName    string // empty: the pod keeps its own

	// AllowedNamespaces are patterns of the namespaces that may have the sidecar; nil means all.
	AllowedNamespaces []string
	// SkipHostNetworkPods tells that pods with hostNetwork are not to get it.
	SkipHostNetworkPods bool

	// Parameters and PodFields are the values that Fill wants, in this order.
	Parameters []Parameter
	PodFields  []PodField

	uses []int // how many holes there are for each of them
}

// Unused are the parameters that stand nowhere in the definition.
func (s *Sidecar) Unused() []string {
	var names []string
	for i := range s.Parameters {
		if s.uses[i] == 0 {
			names = append(names, s.Parameters[i].Name)
		}
	}
	return names
}

// Element is one named element of a list with its JSON.
type Element struct {
	Name string
	Text
}

// EnvFrom is a source of variables with its JSON. One of ConfigMap and Secret is set.
type EnvFrom struct {
	EnvSource
	Text
}

// EnvSource is what tells one source of variables from another. It is comparable.
type EnvSource struct {
	Prefix    string
	ConfigMap string
	Secret    string
}

// String gives `configMapRef settings` or `secretRef db, prefix DB_`.
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

// Pair is a member of a map of strings. The text is that of its value.
type Pair struct {
	Key   string
	Value string
	Text
}

// Toleration is a toleration with its JSON.
type Toleration struct {
	Tolerated
	Text
}

// Tolerated is what a toleration matches. Two that match the same are one toleration, however
// long they do so. It is comparable.
type Tolerated struct {
	Key      string `json:"key"`
	Operator string `json:"operator"` // Equal where the author gave none
	Value    string `json:"value"`
	Effect   string `json:"effect"`
}

// String gives it as kubectl describe does: `dedicated=gpu:NoSchedule` or
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

	path *template // of the path as JSON; nil: there are no holes
}

// Container is a container apart from what merging adds to: JSON is the object without
// env, envFrom and volumeMounts, which stand beside it. The object is never empty.
type Container struct {
	Element
	Env          []Element
	EnvFrom      []EnvFrom
	VolumeMounts []Mount
	Devices      []Device
	Ports        []Port
}

// Device is a block device of a container: its volume and devicePath. No mount of the same
// container may have either.
type Device struct {
	Name string `json:"name"`
	Path string `json:"devicePath"`
}

// Port is a container port as far as it can collide on the node. HostPort is 0 and Protocol
// is empty where the author gave none.
type Port struct {
	ContainerPort int32  `json:"containerPort"`
	HostPort      int32  `json:"hostPort"`
	Protocol      string `json:"protocol"`
	HostIP        string `json:"hostIP"`
}
