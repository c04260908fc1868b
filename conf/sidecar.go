package conf

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"k8s-sidecar-injector/conf/params"
	"k8s-sidecar-injector/conf/podrules"
)

// Sidecar is a definition with all that it inherits. It is immutable and safe for concurrent use.
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
	// Violations are the checks of the next stricter level that the definition fails, in short.
	Violations []string
	// Warnings are about a definition that is valid, but has parts that may be mistakes. There are few.
	Warnings []*Error

	// AllowedNamespaces are patterns of namespaces that may use the sidecar. Nil allows all.
	AllowedNamespaces []string
	// SkipHostNetworkPods is set if pods with hostNetwork do not get the sidecar.
	SkipHostNetworkPods bool
	// OS is the operating system of pods that get the sidecar: linux, windows or AnyOS.
	OS string
	// InJobs is how the sidecar is injected into pods that run to completion: InJobsKeep, InJobsNative
	// or InJobsSkip.
	InJobs string

	// Parameters have the values that Render needs, in this order. The implicit ones come last.
	Parameters []params.Parameter

	text     []byte   // the definition with all that it inherits, as canonical JSON
	base     *Base    // nil if it inherits nothing
	rendered []string // the values in the content; nil if some of them are samples
	inJob    bool     // the result of ForJobs
	forms    *forms
}

// AnyOS is the value of Sidecar.OS for sidecars that run on any operating system.
const AnyOS = "any"

// The values of Sidecar.InJobs.
const (
	// InJobsKeep is the default: the pod does not complete while the containers of the sidecar run.
	InJobsKeep = "keep"
	// InJobsNative makes native sidecars (KEP-753) of the containers.
	InJobsNative = "native"
	// InJobsSkip skips the pods.
	InJobsSkip = "skip"
)

// Element is an encoded element of a list, member of a map or value of another field.
type Element struct {
	// Name identifies the element in its list or map.
	Name string
	// Value is the value of a member of a map, and the path of a volume mount.
	Value string
	// JSON is the element or value.
	JSON []byte
}

// EnvFromName returns the name of a source of variables, such as `configMapRef settings` or
// `secretRef db, prefix DB_`. One of configMap and secret is set.
func EnvFromName(prefix, configMap, secret string) string {
	text := "configMapRef " + configMap
	if secret != "" {
		text = "secretRef " + secret
	}
	if prefix != "" {
		text += ", prefix " + prefix
	}
	return text
}

// TolerationName returns the name of a toleration in the format of kubectl describe:
// `dedicated=gpu:NoSchedule` or `dedicated:NoSchedule op=Exists`. Two tolerations that match the same
// taints are one, whatever their tolerationSeconds.
func TolerationName(key, operator, value, effect string) string {
	text := key
	if value != "" {
		text += "=" + value
	}
	if effect != "" {
		text += ":" + effect
	}
	if operator != "" && operator != string(corev1.TolerationOpEqual) {
		text += " op=" + operator
	}
	return strings.TrimSpace(text)
}

// SpreadConstraintName returns the name of a topology spread constraint, such as
// `topology.kubernetes.io/zone:DoNotSchedule`. An API server rejects two with the same name.
func SpreadConstraintName(topologyKey, whenUnsatisfiable string) string {
	return topologyKey + ":" + whenUnsatisfiable
}

// Container is a container. Its JSON is an object without env, envFrom and volumeMounts, which merging
// adds to. The object is never empty.
type Container struct {
	Element
	Elements ContainerElements
	// Devices are its block devices. A mount of the same container may have neither their volumes nor
	// their paths.
	Devices []corev1.VolumeDevice
	// Ports are those that may conflict on the node.
	Ports []corev1.ContainerPort
}

// ContainerElements are the elements of a container that merging adds to.
type ContainerElements struct {
	Env, EnvFrom, VolumeMounts []Element
}

// Of returns the elements of env, envFrom or volumeMounts.
func (e *ContainerElements) Of(field string) []Element {
	return *e.list(field)
}

func (e *ContainerElements) list(field string) *[]Element {
	switch field {
	case "env":
		return &e.Env
	case "envFrom":
		return &e.EnvFrom
	default:
		return &e.VolumeMounts
	}
}
