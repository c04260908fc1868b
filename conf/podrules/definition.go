package podrules

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Definition is what a sidecar definition adds to a pod. VolumeMounts, PrependEnv, Env, ExtendEnv and
// EnvFrom are added to containers, the other fields to the pod.
type Definition struct {
	// Init containers that are put before those of the pod, in order. A name that the pod already has, as a
	// container or an init container, is a conflict.
	PrependInitContainers []corev1.Container `json:"prependInitContainers,omitempty"`
	// Init containers that are put after those of the pod. `restartPolicy: Always` makes a native sidecar. A name
	// that the pod already has is a conflict.
	InitContainers []corev1.Container `json:"initContainers,omitempty"`
	// Containers that are put before those of the pod, in order. A name that the pod already has is a conflict.
	PrependContainers []corev1.Container `json:"prependContainers,omitempty"`
	// Containers that are put after those of the pod. A name that the pod already has is a conflict.
	Containers []corev1.Container `json:"containers,omitempty"`
	// Volumes of the pod. If the pod has a volume of that name, it keeps its own.
	Volumes []corev1.Volume `json:"volumes,omitempty"`
	// Mounts of every container and init container, the pod's own and those of sidecars. A mount is left out if the
	// container already has that volume or that path, as a mount or as a block device.
	VolumeMounts []corev1.VolumeMount `json:"volumeMounts,omitempty"`
	// Variables of the same containers as `env`, before their own variables, which can refer to them.
	PrependEnv []corev1.EnvVar `json:"prependEnv,omitempty"`
	// Variables of every container and init container, the pod's own and those of sidecars. A variable that a
	// container already has is not changed.
	Env []corev1.EnvVar `json:"env,omitempty"`
	// Texts that are appended to the values of variables in the same containers as `env`. A variable that a
	// container does not have is added.
	ExtendEnv []EnvExtension `json:"extendEnv,omitempty"`
	// Sources of variables for the same containers as `env`, before their own sources. A source that a container
	// already has with that prefix is left out.
	EnvFrom []corev1.EnvFromSource `json:"envFrom,omitempty"`
	// Labels of the pod. A key that the pod already has is not changed.
	Labels map[string]string `json:"labels,omitempty"`
	// Annotations of the pod. A key that the pod already has is not changed.
	Annotations map[string]string `json:"annotations,omitempty"`
	// Comma-separated lists that are appended to annotations of the pod. Words that an annotation already has are
	// left out. An annotation that the pod does not have is added.
	ExtendAnnotations map[string]string `json:"extendAnnotations,omitempty"`
	// Pull secrets of the pod. One that the pod already has is left out.
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`
	// Labels that the node must have. If the pod has another value for a key, that is a conflict.
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	// Tolerations of the pod. One with the same key, operator, value and effect as one of the pod is left out.
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`
	// Entries of `/etc/hosts`, appended to those of the pod.
	HostAliases []corev1.HostAlias `json:"hostAliases,omitempty"`
	// Topology spread constraints of the pod. One with the same `topologyKey` and `whenUnsatisfiable` as one of the
	// pod is left out.
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints,omitempty"`
	// Sets `hostNetwork` of the pod when true. Not together with `skipHostNetworkPods`.
	HostNetwork bool `json:"hostNetwork,omitempty"`
	// Sets `hostPID` of the pod when true. Not together with `shareProcessNamespace`.
	HostPID bool `json:"hostPID,omitempty"`
	// Sets `hostIPC` of the pod when true.
	HostIPC bool `json:"hostIPC,omitempty"`
	// Sets `shareProcessNamespace` of the pod when true. Not together with `hostPID`. A pod that sets it to false is
	// a conflict.
	ShareProcessNamespace bool `json:"shareProcessNamespace,omitempty"`
	// Service account of the pod, set if the pod's is empty or `default`.
	ServiceAccountName string `json:"serviceAccountName,omitempty"`
	// Priority class of the pod, set if the pod has none.
	PriorityClassName string `json:"priorityClassName,omitempty"`
	// Runtime class of the pod, set if the pod has none.
	RuntimeClassName string `json:"runtimeClassName,omitempty"`
	// Affinity of the pod, set if the pod has none or an empty one.
	Affinity *corev1.Affinity `json:"affinity,omitempty"`
	// Nameservers, searches and options of the pod's DNS. Those that the pod already has are left out; options are
	// compared by name.
	DNSConfig *corev1.PodDNSConfig `json:"dnsConfig,omitempty"`
	// Security context of the pod. Each field is set if the pod does not have it. Supplemental groups and sysctls
	// are added unless the pod has them. Another `fsGroup` is a conflict.
	PodSecurityContext *corev1.PodSecurityContext `json:"podSecurityContext,omitempty"`
	// Seconds between SIGTERM and SIGKILL, set if that is longer than the pod's own, which is 30 by default.
	GracePeriod *int64 `json:"terminationGracePeriodSeconds,omitempty"`
}

// EnvExtension is a text that is appended to the value of an environment variable. The variable is added if a
// container does not have it.
type EnvExtension struct {
	// Name of the variable.
	Name string `json:"name"`
	// Text that is appended. An empty text appends nothing.
	Value *string `json:"value,omitempty"`
	// Text between the old value and `value`. Absent: a space.
	Separator *string `json:"separator,omitempty"`
}

// targetName is the name of a container that represents the containers of the pod. It is not a valid
// name, so no container of a valid definition has it.
const targetName = "<target>"

// unlimitedSleep ends the detail of a fault of a sleep action, because the validated pod has the
// longest grace period.
const unlimitedSleep = " and less than terminationGracePeriodSeconds (9223372036854775807)"

// Faults returns what the API server would reject in every pod with the definition, sorted by field
// of the definition. The pod may provide a volume, a resource claim or a longer
// terminationGracePeriodSeconds, so faults do not report these as missing. The BadValue of a fault of
// labels, annotations, extendAnnotations or nodeSelector is the key, and an invalid key is Forbidden. No
// other fault has a string as BadValue.
func (d *Definition) Faults() field.ErrorList {
	if faults := d.tooMany(); faults != nil {
		return faults
	}
	var faults field.ErrorList
	for _, fault := range validate(d.pod(), true) {
		if fault.Field = d.path(fault); fault.Field != "" {
			faults = append(faults, ofDefinition(fault)...)
		}
	}
	faults = append(faults, labelFaults("labels", d.Labels)...)
	faults = append(faults, labelFaults("nodeSelector", d.NodeSelector)...)
	if seconds := d.GracePeriod; seconds != nil && *seconds < 0 { // the library changes it to 1
		at := field.NewPath("terminationGracePeriodSeconds")
		faults = append(faults, field.Invalid(at, field.OmitValueType{}, "must be greater than or equal to 0"))
	}
	sortFaults(faults)
	return faults
}

// ofDefinition returns the fault of a definition for one of its pod, or none if another pod may be valid.
func ofDefinition(fault *field.Error) field.ErrorList {
	value, _ := fault.BadValue.(string)
	switch {
	case fault.Type == field.ErrorTypeDuplicate && fault.BadValue == "":
		return nil // the missing name is reported anyway
	case fault.Type == field.ErrorTypeNotFound:
		messages := utilvalidation.IsDNS1123Label(value)
		if value == "" || messages == nil {
			return nil // the pod may have the volume or the claim
		}
		fault = field.Invalid(field.NewPath(fault.Field), value, strings.Join(messages, "; "))
	}
	fault = withoutValue(fault)
	if slices.Contains([]string{"annotations", "extendAnnotations"}, fault.Field) && value != "" {
		fault.Type, fault.BadValue = field.ErrorTypeForbidden, value
	}
	fault.Detail = strings.TrimSuffix(fault.Detail, unlimitedSleep)
	return field.ErrorList{fault}
}

// NativeFaults returns Faults of the definition with its containers as native sidecars, with the paths of the
// definition as written.
func (d *Definition) NativeFaults() field.ErrorList {
	faults := d.Native().Faults()
	for _, fault := range faults {
		list, rest, element := strings.Cut(fault.Field, "[")
		switch {
		case element && list == "prependInitContainers":
			fault.Field = elementPath(rest, list, len(d.PrependInitContainers), "prependContainers", len(d.PrependContainers))
		case element && list == "initContainers":
			fault.Field = elementPath(rest, list, len(d.InitContainers), "containers", len(d.Containers))
		}
	}
	sortFaults(faults)
	return faults
}

// Native returns the definition with its containers as native sidecars (KEP-753), after its init containers.
func (d *Definition) Native() *Definition {
	native := *d
	native.PrependInitContainers = slices.Concat(d.PrependInitContainers, restarted(d.PrependContainers))
	native.InitContainers = slices.Concat(d.InitContainers, restarted(d.Containers))
	native.PrependContainers, native.Containers = nil, nil
	return &native
}

// restarted returns the containers with restartPolicy: Always.
func restarted(containers []corev1.Container) []corev1.Container {
	list := slices.Clone(containers)
	for i := range list {
		list[i].RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
	}
	return list
}

// pod returns a pod that has only the definition, and settings that its containers may need. Its last
// container gets VolumeMounts, EnvFrom and all variables. Labels and node selectors are omitted, see
// labelFaults.
func (d *Definition) pod() *corev1.Pod {
	target := corev1.Container{
		Name: targetName, Image: targetName, Env: slices.Concat(d.PrependEnv, d.Env),
		EnvFrom: d.EnvFrom, VolumeMounts: d.VolumeMounts,
	}
	for _, e := range d.ExtendEnv {
		target.Env = append(target.Env, corev1.EnvVar{Name: e.Name})
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Annotations: d.allAnnotations()},
		Spec: corev1.PodSpec{
			InitContainers:                slices.Concat(d.PrependInitContainers, d.InitContainers),
			Containers:                    slices.Concat(d.PrependContainers, d.Containers, []corev1.Container{target}),
			Volumes:                       d.Volumes,
			ImagePullSecrets:              d.ImagePullSecrets,
			Tolerations:                   d.Tolerations,
			HostAliases:                   d.HostAliases,
			TopologySpreadConstraints:     d.TopologySpreadConstraints,
			HostNetwork:                   d.HostNetwork,
			HostPID:                       d.HostPID,
			HostIPC:                       d.HostIPC,
			Affinity:                      d.Affinity,
			DNSConfig:                     d.DNSConfig,
			SecurityContext:               d.PodSecurityContext,
			ServiceAccountName:            d.ServiceAccountName,
			PriorityClassName:             d.PriorityClassName,
			TerminationGracePeriodSeconds: new(int64(math.MaxInt64)), // see unlimitedSleep
		},
	}
	if d.ShareProcessNamespace {
		pod.Spec.ShareProcessNamespace = new(true)
	}
	if d.RuntimeClassName != "" {
		pod.Spec.RuntimeClassName = &d.RuntimeClassName
	}
	provide(&pod.Spec)
	return pod
}

// allAnnotations returns the annotations that a pod gets.
func (d *Definition) allAnnotations() map[string]string {
	all := make(map[string]string, len(d.Annotations)+len(d.ExtendAnnotations))
	maps.Copy(all, d.ExtendAnnotations)
	maps.Copy(all, d.Annotations)
	return all
}

// provide sets fields that Kubernetes requires for some fields of containers: hostUsers: false for an
// unmasked /proc (KEP-4265), and os for a stopSignal (KEP-4960).
func provide(spec *corev1.PodSpec) {
	system := corev1.PodOS{Name: corev1.Linux}
	if s := spec.SecurityContext; s != nil && s.WindowsOptions != nil {
		system.Name = corev1.Windows
	}
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		s := c.SecurityContext
		if s != nil && s.WindowsOptions != nil {
			system.Name = corev1.Windows
		}
		if s != nil && s.ProcMount != nil && *s.ProcMount == corev1.UnmaskedProcMount {
			spec.HostUsers = new(false)
		}
		if c.Lifecycle != nil && c.Lifecycle.StopSignal != nil {
			spec.OS = &system
		}
	}
}

// maxCompared limits lists in which the library compares each element with all others.
const maxCompared = 100

// tooMany returns faults of lists that exceed maxCompared.
func (d *Definition) tooMany() field.ErrorList {
	var faults field.ErrorList
	if n := len(d.TopologySpreadConstraints); n > maxCompared {
		faults = append(faults, field.TooMany(field.NewPath("topologySpreadConstraints"), n, maxCompared))
	}
	for list, containers := range map[string][]corev1.Container{
		"prependInitContainers": d.PrependInitContainers, "initContainers": d.InitContainers,
		"prependContainers": d.PrependContainers, "containers": d.Containers,
	} {
		for i := range containers {
			at := field.NewPath(list).Index(i)
			if n := len(containers[i].Resources.Claims); n > maxCompared {
				faults = append(faults, field.TooMany(at.Child("resources", "claims"), n, maxCompared))
			}
			if n := len(containers[i].VolumeDevices); n > maxCompared {
				faults = append(faults, field.TooMany(at.Child("volumeDevices"), n, maxCompared))
			}
		}
	}
	sortFaults(faults)
	return faults
}

// labelFaults validates labels by the library's rules. The library itself does not report the key of an
// invalid value.
func labelFaults(name string, labels map[string]string) field.ErrorList {
	var faults field.ErrorList
	fault := func(kind field.ErrorType, key string, messages []string) {
		for _, message := range messages {
			faults = append(faults, &field.Error{Type: kind, Field: name, BadValue: key, Detail: message})
		}
	}
	for key, value := range labels {
		fault(field.ErrorTypeForbidden, key, utilvalidation.IsQualifiedName(key))
		fault(field.ErrorTypeInvalid, key, utilvalidation.IsValidLabelValue(value))
	}
	return faults
}

// path returns the field of the definition that causes a fault of the pod, or an empty string if none
// does.
func (d *Definition) path(fault *field.Error) string {
	if fault.Type == field.ErrorTypeInternal {
		return "definition"
	}
	_, path, _ := strings.Cut(fault.Field, ".") // after metadata or spec
	list, rest, element := strings.Cut(path, "[")
	name, _, _ := strings.Cut(list, ".")
	switch {
	case name == "securityContext":
		return "podSecurityContext" + strings.TrimPrefix(path, name)
	case name == "initContainers" && element:
		return elementPath(rest, "prependInitContainers", len(d.PrependInitContainers), name, len(d.InitContainers))
	case name == "containers" && element:
		path := elementPath(rest, "prependContainers", len(d.PrependContainers), name, len(d.Containers))
		if variable, found := strings.CutPrefix(path, "env["); found {
			return d.variablePath(variable)
		}
		return path
	case name == "annotations":
		return d.annotationPath(path, fault)
	case name == "hostNetwork" && d.HostNetwork, slices.Contains([]string{
		"initContainers", "volumes", "imagePullSecrets", "tolerations", "hostAliases",
		"topologySpreadConstraints", "shareProcessNamespace", "serviceAccountName",
		"priorityClassName", "runtimeClassName", "affinity", "dnsConfig",
	}, name):
		return path
	}
	return ""
}

// annotationPath maps the path of a fault of the annotations of the pod to the map of the definition that
// has the annotation.
func (d *Definition) annotationPath(path string, fault *field.Error) string {
	key, _ := fault.BadValue.(string) // empty if the annotations are too long in total
	if rest, found := strings.CutPrefix(path, "annotations["); found {
		key, _, _ = strings.Cut(rest, "]")
	}
	_, extends := d.ExtendAnnotations[key]
	if _, sets := d.Annotations[key]; extends && !sets || d.Annotations == nil {
		return "extendAnnotations" + strings.TrimPrefix(path, "annotations")
	}
	return path
}

// variablePath maps the path of a variable of the target container, such as `2].name`, to the list of
// the definition that has the variable.
func (d *Definition) variablePath(inContainer string) string {
	index, rest, _ := strings.Cut(inContainer, "]")
	i, _ := strconv.Atoi(index)
	for _, list := range []struct {
		name   string
		length int
	}{{"prependEnv", len(d.PrependEnv)}, {"env", len(d.Env)}, {"extendEnv", len(d.ExtendEnv)}} {
		if i < list.length {
			return list.name + "[" + strconv.Itoa(i) + "]" + rest
		}
		i -= list.length
	}
	return ""
}

// elementPath maps the path of a container in the pod, such as `2].image`, to the list of the
// definition that has the container. For the target container, it returns the path in the definition
// itself.
func elementPath(inPod, prependList string, prepended int, list string, others int) string {
	index, rest, _ := strings.Cut(inPod, "]")
	i, _ := strconv.Atoi(index)
	switch path := strings.TrimPrefix(rest, "."); {
	case i < prepended:
		return prependList + "[" + index + "]" + rest
	case i < prepended+others:
		return list + "[" + strconv.Itoa(i-prepended) + "]" + rest
	case strings.HasPrefix(path, "env"), strings.HasPrefix(path, "volumeMounts"):
		return path
	}
	return ""
}
