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
	"k8s.io/kubernetes/pkg/apis/core/validation"
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
	for _, fault := range validate(d.pod(), restrictEnvNames) {
		if fault.Type == field.ErrorTypeNotFound {
			fault = invalidName(fault)
		}
		if fault == nil || fault.Type == field.ErrorTypeDuplicate && fault.BadValue == "" {
			continue // the pod may have it, or a missing name is reported anyway
		}
		key, _ := fault.BadValue.(string)
		inMap := fault.Field == "metadata.annotations" && key != ""
		fault = withoutValue(fault)
		if inMap {
			fault.Type, fault.BadValue = field.ErrorTypeForbidden, key
		}
		fault.Detail = strings.TrimSuffix(fault.Detail, mostGrace)
		path, found := d.path(fault.Field)
		if fault.Type == field.ErrorTypeInternal {
			path, found = "definition", true
		}
		if found {
			fault.Field = path
			faults = append(faults, fault)
		}
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

// restrictEnvNames applies the stricter of the two rules for names of variables (KEP-4369), because
// a definition is used on any version of Kubernetes.
func restrictEnvNames(options *validation.PodValidationOptions) {
	options.AllowRelaxedEnvironmentVariableValidation = false
}

// maxCompared bounds lists of a container whose elements the library compares in pairs.
const maxCompared = 100

// tooMany returns faults for lists that would take the library too long.
func (d *Definition) tooMany() field.ErrorList {
	var faults field.ErrorList
	check := func(list string, containers []corev1.Container) {
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
	check("prependInitContainers", d.PrependInitContainers)
	check("initContainers", d.InitContainers)
	check("prependContainers", d.PrependContainers)
	check("containers", d.Containers)
	return faults
}

// invalidName returns a fault for a reference to something that no pod can have, by its name, or
// nil. An empty name is another fault.
func invalidName(fault *field.Error) *field.Error {
	name, _ := fault.BadValue.(string)
	messages := utilvalidation.IsDNS1123Label(name)
	if name == "" || len(messages) == 0 {
		return nil
	}
	return field.Invalid(field.NewPath(fault.Field), name, strings.Join(messages, "; "))
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

// path maps the path of a field of the pod to the definition. It is not found where the definition
// does not set the field.
func (d *Definition) path(inPod string) (path string, found bool) {
	_, path, _ = strings.Cut(inPod, ".") // after metadata or spec
	list, rest, _ := strings.Cut(path, "[")
	name, _, _ := strings.Cut(list, ".")
	switch name {
	case "initContainers":
		if rest == "" {
			return path, true
		}
		return elementPath(rest, "prependInitContainers", len(d.PrependInitContainers), list, len(d.InitContainers))
	case "containers":
		return elementPath(rest, "prependContainers", len(d.PrependContainers), list, len(d.Containers))
	case "hostNetwork":
		return path, d.HostNetwork
	case "annotations", "volumes", "imagePullSecrets", "tolerations", "hostAliases",
		"shareProcessNamespace", "serviceAccountName":
		return path, true
	}
	return "", false
}

// elementPath maps "2].image" to the second of two lists that the pod has in one. The element
// after both is the carrier, which has only the top-level lists of the definition.
func elementPath(inPod, first string, firsts int, second string, seconds int) (path string, found bool) {
	index, rest, _ := strings.Cut(inPod, "]")
	i, err := strconv.Atoi(index)
	switch {
	case err != nil:
		return "", false
	case i < firsts:
		return first + "[" + index + "]" + rest, true
	case i < firsts+seconds:
		return second + "[" + strconv.Itoa(i-firsts) + "]" + rest, true
	}
	path = strings.TrimPrefix(rest, ".")
	return path, strings.HasPrefix(path, "env") || strings.HasPrefix(path, "volumeMounts")
}
