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
	for _, list := range d.containerLists() {
		for i := range list.containers {
			faults = append(faults, validateEnvFilesOf(other, field.NewPath(list.name).Index(i).Child("env"), list.containers[i].Env)...)
		}
	}
	return faults
}

func validateEnvFilesOf(other map[string]bool, path *field.Path, list []corev1.EnvVar) field.ErrorList {
	var faults field.ErrorList
	for i := range list {
		if volume := fileVolume(&list[i]); volume != "" && other[volume] {
			at := path.Index(i).Child("valueFrom", "fileKeyRef", "volumeName")
			faults = append(faults, field.Invalid(at, volume, "only an emptyDir can have the file"))
		}
	}
	return faults
}

// fileVolume is the volume that a variable is read from a file of, or empty.
func fileVolume(e *corev1.EnvVar) string {
	if e.ValueFrom == nil || e.ValueFrom.FileKeyRef == nil {
		return ""
	}
	return e.ValueFrom.FileKeyRef.VolumeName
}
