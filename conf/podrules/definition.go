package podrules

import (
	"math"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Definition is what a sidecar definition adds to a pod. VolumeMounts, Env and EnvFrom go into
// containers of the pod; the other fields are those of a pod.
type Definition struct {
	PrependInitContainers []corev1.Container            `json:"prependInitContainers,omitempty"`
	InitContainers        []corev1.Container            `json:"initContainers,omitempty"`
	PrependContainers     []corev1.Container            `json:"prependContainers,omitempty"`
	Containers            []corev1.Container            `json:"containers,omitempty"`
	Volumes               []corev1.Volume               `json:"volumes,omitempty"`
	VolumeMounts          []corev1.VolumeMount          `json:"volumeMounts,omitempty"`
	Env                   []corev1.EnvVar               `json:"env,omitempty"`
	EnvFrom               []corev1.EnvFromSource        `json:"envFrom,omitempty"`
	Labels                map[string]string             `json:"labels,omitempty"`
	Annotations           map[string]string             `json:"annotations,omitempty"`
	ImagePullSecrets      []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`
	NodeSelector          map[string]string             `json:"nodeSelector,omitempty"`
	Tolerations           []corev1.Toleration           `json:"tolerations,omitempty"`
	HostAliases           []corev1.HostAlias            `json:"hostAliases,omitempty"`
	HostNetwork           bool                          `json:"hostNetwork,omitempty"`
	HostPID               bool                          `json:"hostPID,omitempty"`
	HostIPC               bool                          `json:"hostIPC,omitempty"`
	ShareProcessNamespace bool                          `json:"shareProcessNamespace,omitempty"`
	ServiceAccountName    string                        `json:"serviceAccountName,omitempty"`
}

// carrier is the container that has the top-level lists in the pod that is validated. No container
// of a valid definition has its name.
const carrier = "<carrier>"

// mostGrace is what the library adds to a fault of a sleep in a pod without a limit.
const mostGrace = " and less than terminationGracePeriodSeconds (9223372036854775807)"

// Faults returns what the API server would reject in every pod that the definition is added to,
// sorted by field of the definition. What a pod can provide is not missing: volumes, resource
// claims, or a longer terminationGracePeriodSeconds. A fault of a label, annotation or node selector
// has the key as its BadValue, and no other fault has a string there. Invalid keys are Forbidden.
func (d *Definition) Faults() field.ErrorList {
	if faults := d.tooMany(); faults != nil {
		return faults
	}
	var faults field.ErrorList
	for _, fault := range validate(d.pod(), true) {
		if fault.Field = d.path(fault); fault.Field == "" {
			continue
		}
		value, _ := fault.BadValue.(string)
		switch {
		case fault.Type == field.ErrorTypeDuplicate && fault.BadValue == "":
			continue // the missing name is reported anyway
		case fault.Type == field.ErrorTypeNotFound:
			messages := utilvalidation.IsDNS1123Label(value)
			if value == "" || messages == nil {
				continue // the pod may have it
			}
			fault = field.Invalid(field.NewPath(fault.Field), value, strings.Join(messages, "; "))
		}
		fault = withoutValue(fault)
		if fault.Field == "annotations" && value != "" {
			fault.Type, fault.BadValue = field.ErrorTypeForbidden, value
		}
		fault.Detail = strings.TrimSuffix(fault.Detail, mostGrace)
		faults = append(faults, fault)
	}
	faults = append(faults, labelFaults("labels", d.Labels)...)
	faults = append(faults, labelFaults("nodeSelector", d.NodeSelector)...)
	sortFaults(faults)
	return faults
}

// pod returns a pod that has only the definition, and that provides what a container may need of
// a pod. Labels and node selectors are not in it, see labelFaults.
func (d *Definition) pod() *corev1.Pod {
	last := corev1.Container{Name: carrier, Image: carrier, Env: d.Env, EnvFrom: d.EnvFrom, VolumeMounts: d.VolumeMounts}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Annotations: d.Annotations},
		Spec: corev1.PodSpec{
			InitContainers:                slices.Concat(d.PrependInitContainers, d.InitContainers),
			Containers:                    slices.Concat(d.PrependContainers, d.Containers, []corev1.Container{last}),
			Volumes:                       d.Volumes,
			ImagePullSecrets:              d.ImagePullSecrets,
			Tolerations:                   d.Tolerations,
			HostAliases:                   d.HostAliases,
			HostNetwork:                   d.HostNetwork,
			HostPID:                       d.HostPID,
			HostIPC:                       d.HostIPC,
			ServiceAccountName:            d.ServiceAccountName,
			TerminationGracePeriodSeconds: new(int64(math.MaxInt64)), // see mostGrace
		},
	}
	if d.ShareProcessNamespace {
		pod.Spec.ShareProcessNamespace = new(true)
	}
	provide(&pod.Spec)
	return pod
}

// provide sets what a pod must have for its containers: hostUsers: false to unmask /proc
// (KEP-4265), and an operating system for a stopSignal (KEP-4960).
func provide(spec *corev1.PodSpec) {
	system := corev1.PodOS{Name: corev1.Linux}
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

// maxCompared bounds lists of a container whose elements the library compares in pairs.
const maxCompared = 100

// tooMany returns faults for lists that would take the library too long.
func (d *Definition) tooMany() field.ErrorList {
	var faults field.ErrorList
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

// labelFaults validates labels as the library does, which does not report the key of a value.
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

// path returns the field of the definition that a fault of the pod is about. It is empty if the
// definition does not set the field.
func (d *Definition) path(fault *field.Error) string {
	if fault.Type == field.ErrorTypeInternal {
		return "definition"
	}
	_, path, _ := strings.Cut(fault.Field, ".") // after metadata or spec
	list, rest, element := strings.Cut(path, "[")
	name, _, _ := strings.Cut(list, ".")
	switch {
	case name == "initContainers" && element:
		return elementPath(rest, "prependInitContainers", len(d.PrependInitContainers), name, len(d.InitContainers))
	case name == "containers" && element:
		return elementPath(rest, "prependContainers", len(d.PrependContainers), name, len(d.Containers))
	case name == "hostNetwork" && d.HostNetwork, slices.Contains([]string{
		"initContainers", "annotations", "volumes", "imagePullSecrets", "tolerations", "hostAliases",
		"shareProcessNamespace", "serviceAccountName",
	}, name):
		return path
	}
	return ""
}

// elementPath maps "2].image" to the second of two lists that the pod has in one. The element
// after both is the carrier, which has only the top-level lists of the definition.
func elementPath(inPod, first string, firsts int, second string, seconds int) string {
	index, rest, _ := strings.Cut(inPod, "]")
	i, _ := strconv.Atoi(index)
	switch path := strings.TrimPrefix(rest, "."); {
	case i < firsts:
		return first + "[" + index + "]" + rest
	case i < firsts+seconds:
		return second + "[" + strconv.Itoa(i-firsts) + "]" + rest
	case strings.HasPrefix(path, "env"), strings.HasPrefix(path, "volumeMounts"):
		return path
	}
	return ""
}
