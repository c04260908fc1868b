package conf

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateEnvFiles holds variables that are read from a file to the volumes that may have it
// (KEP-3721), as far as the definition brings them: those of the pod are not known yet.
func validateEnvFiles(d *definition) field.ErrorList {
	other := make(map[string]bool)
	for i := range d.Volumes {
		other[d.Volumes[i].Name] = d.Volumes[i].EmptyDir == nil
	}
	faults := validateEnvFilesOf(other, field.NewPath("env"), d.Env)
	for i := range d.Containers {
		faults = append(faults, validateEnvFilesOf(other, field.NewPath("containers").Index(i).Child("env"), d.Containers[i].Env)...)
	}
	for i := range d.InitContainers {
		faults = append(faults, validateEnvFilesOf(other, field.NewPath("initContainers").Index(i).Child("env"), d.InitContainers[i].Env)...)
	}
	return faults
}

func validateEnvFilesOf(other map[string]bool, path *field.Path, list []corev1.EnvVar) field.ErrorList {
	var faults field.ErrorList
	for i := range list {
		for _, volume := range envFiles(list[i : i+1]) {
			if other[volume] {
				at := path.Index(i).Child("valueFrom", "fileKeyRef", "volumeName")
				faults = append(faults, field.Invalid(at, volume, "only an emptyDir can have the file"))
			}
		}
	}
	return faults
}
