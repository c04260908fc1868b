package conf

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateResources(path *field.Path, r *corev1.ResourceRequirements) field.ErrorList {
	var faults field.ErrorList
	for name, quantity := range r.Limits {
		faults = append(faults, validateQuantity(member(path.Child("limits"), string(name)), name, &quantity)...)
	}
	for name, quantity := range r.Requests {
		at := member(path.Child("requests"), string(name))
		faults = append(faults, validateQuantity(at, name, &quantity)...)
		faults = append(faults, validateLimited(at, name, &quantity, r.Limits)...)
	}
	sortFaults(faults)
	faults = append(faults, validateHugePages(path, r)...)
	return append(faults, validateClaims(path.Child("claims"), r.Claims)...)
}

// validateHugePages holds the API server's rule that they come with memory or cpu.
func validateHugePages(path *field.Path, r *corev1.ResourceRequirements) field.ErrorList {
	huge, compute := false, false
	for _, list := range []corev1.ResourceList{r.Limits, r.Requests} {
		for name := range list {
			huge = huge || hugePages(name)
			compute = compute || name == corev1.ResourceCPU || name == corev1.ResourceMemory
		}
	}
	if huge && !compute {
		return field.ErrorList{field.Forbidden(path, "hugepages need cpu or memory beside them")}
	}
	return nil
}

func validateClaims(path *field.Path, claims []corev1.ResourceClaim) field.ErrorList {
	var faults field.ErrorList
	seen := make(map[string]bool)
	for i, claim := range claims {
		faults = append(faults, required(path.Index(i).Child("name"), claim.Name)...)
		faults = append(faults, unique(seen, path.Index(i), strings.TrimSuffix(claim.Name+"/"+claim.Request, "/"))...)
	}
	return faults
}

func validateQuantity(path *field.Path, name corev1.ResourceName, quantity *resource.Quantity) field.ErrorList {
	faults := checked(path, string(name), validation.IsQualifiedName(string(name)))
	if len(faults) == 0 && !strings.Contains(string(name), "/") && !standard(name) {
		faults = append(faults, field.Invalid(path, string(name), "must be cpu, memory, ephemeral-storage, hugepages-SIZE or a qualified name such as example.com/gpu"))
	}
	if quantity.Sign() < 0 {
		faults = append(faults, field.Invalid(path, quantity.String(), "must not be negative"))
	}
	if extended(name) && quantity.MilliValue()%1000 != 0 {
		faults = append(faults, field.Invalid(path, quantity.String(), "must be an integer"))
	}
	if page := pageSize(name); page > 0 && quantity.Value()%page != 0 {
		faults = append(faults, field.Invalid(path, quantity.String(), "must be a multiple of the size of the pages"))
	}
	return faults
}

// pageSize is that of huge pages, in bytes; 0 for what is none.
func pageSize(name corev1.ResourceName) int64 {
	text, huge := strings.CutPrefix(string(name), corev1.ResourceHugePagesPrefix)
	size, err := parseQuantity(text)
	if !huge || err != nil {
		return 0
	}
	return size.Value()
}

// validateLimited checks a request against the limit of the same name. What a node cannot
// give out twice, such as a GPU, has both alike.
func validateLimited(path *field.Path, name corev1.ResourceName, request *resource.Quantity, limits corev1.ResourceList) field.ErrorList {
	limit, limited := limits[name]
	whole := extended(name) || hugePages(name)
	switch {
	case limited && whole && request.Cmp(limit) != 0:
		return field.ErrorList{field.Invalid(path, request.String(), "must be equal to the limit")}
	case limited && request.Cmp(limit) > 0:
		return field.ErrorList{field.Invalid(path, request.String(), "must not be more than the limit")}
	case !limited && whole:
		return field.ErrorList{field.Invalid(path, request.String(), "needs a limit of the same quantity")}
	}
	return nil
}

// standard tells the resources that Kubernetes itself knows for containers.
func standard(name corev1.ResourceName) bool {
	return name == corev1.ResourceCPU || name == corev1.ResourceMemory || name == corev1.ResourceEphemeralStorage || hugePages(name)
}

func hugePages(name corev1.ResourceName) bool {
	return strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix)
}

// extended tells a resource that a device plugin offers, such as nvidia.com/gpu.
func extended(name corev1.ResourceName) bool {
	return strings.Contains(string(name), "/") && !strings.Contains(string(name), corev1.ResourceDefaultNamespacePrefix)
}
