package conf

import (
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateEnv checks the variables of a list. Their names follow the stricter of the two
// rules that Kubernetes knows (KEP-4369 relaxes it), because they are added to the
// containers of others, on any version.
func validateEnv(path *field.Path, list []corev1.EnvVar) field.ErrorList {
	var faults field.ErrorList
	for i := range list {
		at := path.Index(i)
		faults = append(faults, named(at.Child("name"), list[i].Name, validation.IsEnvVarName)...)
		if list[i].ValueFrom == nil {
			continue
		}
		if list[i].Value != "" {
			faults = append(faults, field.Forbidden(at.Child("valueFrom"), "not together with value"))
		}
		faults = append(faults, validateEnvSource(at.Child("valueFrom"), list[i].ValueFrom)...)
	}
	return faults
}

func validateEnvSource(path *field.Path, source *corev1.EnvVarSource) field.ErrorList {
	faults := oneOf(path, "source", pointersSet(source))
	if ref := source.FieldRef; ref != nil {
		faults = append(faults, validateFieldRef(path.Child("fieldRef"), ref, envFields())...)
	}
	if ref := source.ResourceFieldRef; ref != nil {
		faults = append(faults, validateResourceRef(path.Child("resourceFieldRef"), ref)...)
	}
	if ref := source.ConfigMapKeyRef; ref != nil {
		faults = append(faults, validateKeyRef(path.Child("configMapKeyRef"), ref.Name, ref.Key)...)
	}
	if ref := source.SecretKeyRef; ref != nil {
		faults = append(faults, validateKeyRef(path.Child("secretKeyRef"), ref.Name, ref.Key)...)
	}
	if ref := source.FileKeyRef; ref != nil {
		at := path.Child("fileKeyRef")
		faults = append(faults, label(at.Child("volumeName"), ref.VolumeName)...)
		faults = append(faults, required(at.Child("path"), ref.Path)...)
		faults = append(faults, noDotDot(at.Child("path"), ref.Path)...)
		faults = append(faults, named(at.Child("key"), ref.Key, validation.IsEnvVarName)...)
	}
	return faults
}

// envFields are the fields that the downward API offers to env.
func envFields() []string {
	return []string{
		"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
		"status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
	}
}

// volumeFields are the fields that the downward API offers to files.
func volumeFields() []string {
	return []string{"metadata.name", "metadata.namespace", "metadata.uid", "metadata.labels", "metadata.annotations"}
}

func validateFieldRef(path *field.Path, ref *corev1.ObjectFieldSelector, allowed []string) field.ErrorList {
	var faults field.ErrorList
	if ref.APIVersion != "" && ref.APIVersion != "v1" {
		faults = append(faults, field.NotSupported(path.Child("apiVersion"), ref.APIVersion, []string{"v1"}))
	}
	at := path.Child("fieldPath")
	switch {
	case ref.FieldPath == "":
		faults = append(faults, field.Required(at, ""))
	case !slices.Contains(allowed, ref.FieldPath) && !keyed(ref.FieldPath):
		keys := []string{"metadata.labels['KEY']", "metadata.annotations['KEY']"}
		faults = append(faults, field.NotSupported(at, ref.FieldPath, append(allowed, keys...)))
	}
	return faults
}

// validateResourceRef knows the resources that the downward API offers, and the units that it
// can divide them by.
func validateResourceRef(path *field.Path, ref *corev1.ResourceFieldSelector) field.ErrorList {
	if ref.Resource == "" {
		return required(path.Child("resource"), "")
	}
	allowed := []string{
		"limits.cpu", "limits.memory", "limits.ephemeral-storage", "requests.cpu", "requests.memory", "requests.ephemeral-storage",
	}
	_, what, _ := strings.Cut(ref.Resource, ".")
	huge := strings.HasPrefix(ref.Resource, "limits.hugepages-") || strings.HasPrefix(ref.Resource, "requests.hugepages-")
	if !huge && !slices.Contains(allowed, ref.Resource) {
		return field.ErrorList{field.NotSupported(path.Child("resource"), ref.Resource, append(allowed, "limits.hugepages-SIZE", "requests.hugepages-SIZE"))}
	}
	units := strings.Fields("1 1k 1M 1G 1T 1P 1E 1Ki 1Mi 1Gi 1Ti 1Pi 1Ei")
	if what == string(corev1.ResourceCPU) {
		units = []string{"1", "1m"}
	}
	if unit := ref.Divisor.String(); !ref.Divisor.IsZero() && !slices.Contains(units, unit) {
		return field.ErrorList{field.NotSupported(path.Child("divisor"), unit, units)}
	}
	return nil
}

// keyed tells metadata.labels['KEY'] and metadata.annotations['KEY'].
func keyed(fieldPath string) bool {
	for _, list := range []string{"metadata.labels", "metadata.annotations"} {
		rest, found := strings.CutPrefix(fieldPath, list+"['")
		if key, closed := strings.CutSuffix(rest, "']"); found && closed {
			if list == "metadata.annotations" {
				key = strings.ToLower(key)
			}
			return len(validation.IsQualifiedName(key)) == 0
		}
	}
	return false
}

func validateKeyRef(path *field.Path, name, key string) field.ErrorList {
	faults := subdomain(path.Child("name"), name)
	return append(faults, named(path.Child("key"), key, validation.IsConfigMapKey)...)
}

func validateEnvFrom(path *field.Path, list []corev1.EnvFromSource) field.ErrorList {
	var faults field.ErrorList
	for i := range list {
		at, source := path.Index(i), &list[i]
		faults = append(faults, oneOf(at, "source", pointersSet(source))...)
		if source.Prefix != "" {
			faults = append(faults, checked(at.Child("prefix"), source.Prefix, validation.IsEnvVarName(source.Prefix))...)
		}
		if source.ConfigMapRef != nil {
			faults = append(faults, subdomain(at.Child("configMapRef", "name"), source.ConfigMapRef.Name)...)
		}
		if source.SecretRef != nil {
			faults = append(faults, subdomain(at.Child("secretRef", "name"), source.SecretRef.Name)...)
		}
	}
	return faults
}

// pointersSet names the pointer fields of a struct that are not nil. The API's unions are
// structs of pointers.
func pointersSet[T any](union *T) []string {
	var set []string
	for f, v := range reflect.ValueOf(union).Elem().Fields() {
		if v.Kind() == reflect.Pointer && !v.IsNil() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			set = append(set, name)
		}
	}
	return set
}
