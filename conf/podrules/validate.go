package podrules

import (
	"cmp"
	"errors"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	podutil "k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/core"
	corev1conversion "k8s.io/kubernetes/pkg/apis/core/v1"
	"k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/capabilities"
)

// Validate returns what the API server would reject when the pod is created, sorted by field. The pod
// needs no name, so it may come from a pod template. It is not changed. Admission plugins and the
// existence of referenced objects are not checked.
func Validate(pod *corev1.Pod) field.ErrorList {
	faults := validate(pod, false)
	for i, fault := range faults {
		faults[i] = withoutValue(fault)
	}
	sortFaults(faults)
	return faults
}

// Introduced returns the faults of after that before does not have, sorted by field. It ignores
// indexes, because injection moves elements within their lists.
func Introduced(before, after *corev1.Pod) field.ErrorList {
	index := regexp.MustCompile(`\[\d+\]`)
	key := func(fault *field.Error) string {
		return index.ReplaceAllString(fault.Field, "[]") + ": " + fault.ErrorBody()
	}
	known := make(map[string]int)
	for _, fault := range Validate(before) {
		known[key(fault)]++
	}
	return slices.DeleteFunc(Validate(after), func(fault *field.Error) bool {
		known[key(fault)]--
		return known[key(fault)] >= 0
	})
}

// validate runs the library. Its faults have values of the pod. With strictEnvNames, it requires names
// of environment variables that all versions of Kubernetes accept (KEP-4369).
func validate(received *corev1.Pod, strictEnvNames bool) (faults field.ErrorList) {
	// The library panics on some input, such as huge pages of size 0. The API server also recovers.
	defer func() {
		if recover() != nil {
			faults = field.ErrorList{field.InternalError(field.NewPath("spec"), errors.New("validation panicked"))}
		}
	}()
	// The library reads this process-wide setting; only the first call has an effect. Distributions
	// start the API server with --allow-privileged.
	capabilities.Setup(true, 0)
	pod := received.DeepCopy()
	pod.Name = cmp.Or(pod.Name, pod.GenerateName, "pod")
	pod.Namespace = cmp.Or(pod.Namespace, corev1.NamespaceDefault)
	// The ServiceAccount admission plugin sets the default before the API server validates.
	pod.Spec.ServiceAccountName = cmp.Or(pod.Spec.ServiceAccountName, pod.Spec.DeprecatedServiceAccount, "default")
	corev1conversion.SetObjectDefaults_Pod(pod)
	var internal core.Pod
	if err := corev1conversion.Convert_v1_Pod_To_core_Pod(pod, &internal, nil); err != nil {
		return field.ErrorList{field.InternalError(field.NewPath("spec"), err)}
	}
	options := podutil.GetValidationOptionsFromPodSpecAndMeta(&internal.Spec, nil, &internal.ObjectMeta, nil)
	options.ResourceIsPod = true
	if strictEnvNames {
		options.AllowRelaxedEnvironmentVariableValidation = false
	}
	faults = validation.ValidatePodCreate(&internal, options)
	for _, fault := range faults {
		// The library reports index 0 for every init container.
		if fault.Type == field.ErrorTypeDuplicate && strings.HasPrefix(fault.Field, "spec.initContainers[0].ports[") {
			fault.Field, fault.Detail = "spec.initContainers", "a container has the same hostPort twice"
		}
	}
	return faults
}

// These match details that quote a value, such as `must be less than or equal to cpu limit of 1`.
var (
	limitDetail = regexp.MustCompile(`^(.*) (\S+) (limits?|requests) of \S+$`)
	valueDetail = regexp.MustCompile(`^\S+ (is not positive integer multiple)|` +
		`^(PVC name|must be the same as serviceAccountName:) ".*"|` +
		`^(error converting fieldPath(?:: field label not supported|: unsupported pod version)?): .*|` +
		`^(can only use minDomains if whenUnsatisfiable=DoNotSchedule), not (?s:.*)`)
)

// withoutValue returns the fault without the value in its BadValue and detail.
func withoutValue(fault *field.Error) *field.Error {
	safe := *fault
	safe.BadValue = field.OmitValueType{}
	safe.Detail = valueDetail.ReplaceAllString(safe.Detail, "$1$2$3$4")
	limit := limitDetail.FindStringSubmatch(safe.Detail)
	if limit == nil {
		return &safe
	}
	safe.Detail = limit[1] + " the " + limit[3]
	if strings.HasSuffix(safe.Field, ".requests") {
		safe.Field += "[" + limit[2] + "]"
	}
	return &safe
}

// sortFaults sorts faults by field. The library reports faults of maps in random order.
func sortFaults(faults field.ErrorList) {
	slices.SortStableFunc(faults, func(a, b *field.Error) int {
		if byField := strings.Compare(a.Field, b.Field); byField != 0 {
			return byField
		}
		return strings.Compare(a.ErrorBody(), b.ErrorBody())
	})
}
