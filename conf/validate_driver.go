package conf

import (
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateDriver checks the volume sources that a storage driver stands behind.
func validateDriver(at *field.Path, s *corev1.VolumeSource) field.ErrorList {
	switch {
	case s.CSI != nil:
		return validateCSI(at.Child("csi"), s.CSI)
	case s.Image != nil:
		return required(at.Child("image", "reference"), s.Image.Reference)
	case s.NFS != nil:
		return validateNFS(at.Child("nfs"), s.NFS)
	case s.ISCSI != nil:
		return allRequired(at.Child("iscsi"), "targetPortal", s.ISCSI.TargetPortal, "iqn", s.ISCSI.IQN)
	case s.GitRepo != nil:
		faults := required(at.Child("gitRepo", "repository"), s.GitRepo.Repository)
		return append(faults, relative(at.Child("gitRepo", "directory"), s.GitRepo.Directory)...)
	case s.RBD != nil:
		return allRequired(at.Child("rbd"), "monitors", strings.Join(s.RBD.CephMonitors, ","), "image", s.RBD.RBDImage)
	case s.CephFS != nil:
		return required(at.Child("cephfs", "monitors"), strings.Join(s.CephFS.Monitors, ","))
	case s.Glusterfs != nil:
		return allRequired(at.Child("glusterfs"), "endpoints", s.Glusterfs.EndpointsName, "path", s.Glusterfs.Path)
	case s.FlexVolume != nil:
		return required(at.Child("flexVolume", "driver"), s.FlexVolume.Driver)
	default:
		return validateCloud(at, s)
	}
}

// validateCloud is the part of validateDriver for what clouds and vendors sell.
func validateCloud(at *field.Path, s *corev1.VolumeSource) field.ErrorList {
	switch {
	case s.GCEPersistentDisk != nil:
		return required(at.Child("gcePersistentDisk", "pdName"), s.GCEPersistentDisk.PDName)
	case s.AWSElasticBlockStore != nil:
		return required(at.Child("awsElasticBlockStore", "volumeID"), s.AWSElasticBlockStore.VolumeID)
	case s.Cinder != nil:
		return required(at.Child("cinder", "volumeID"), s.Cinder.VolumeID)
	case s.AzureFile != nil:
		return allRequired(at.Child("azureFile"), "secretName", s.AzureFile.SecretName, "shareName", s.AzureFile.ShareName)
	case s.AzureDisk != nil:
		return allRequired(at.Child("azureDisk"), "diskName", s.AzureDisk.DiskName, "diskURI", s.AzureDisk.DataDiskURI)
	case s.VsphereVolume != nil:
		return required(at.Child("vsphereVolume", "volumePath"), s.VsphereVolume.VolumePath)
	case s.PortworxVolume != nil:
		return required(at.Child("portworxVolume", "volumeID"), s.PortworxVolume.VolumeID)
	case s.ScaleIO != nil:
		return allRequired(at.Child("scaleIO"), "gateway", s.ScaleIO.Gateway, "system", s.ScaleIO.System, "volumeName", s.ScaleIO.VolumeName)
	case s.Quobyte != nil:
		return allRequired(at.Child("quobyte"), "registry", s.Quobyte.Registry, "volume", s.Quobyte.Volume)
	case s.StorageOS != nil:
		return label(at.Child("storageos", "volumeName"), s.StorageOS.VolumeName)
	default:
		return nil
	}
}

func validateCSI(at *field.Path, csi *corev1.CSIVolumeSource) field.ErrorList {
	faults := named(at.Child("driver"), csi.Driver, func(driver string) []string {
		return validation.IsDNS1123Subdomain(strings.ToLower(driver))
	})
	if len(csi.Driver) > validation.DNS1123LabelMaxLength {
		faults = append(faults, field.TooLong(at.Child("driver"), csi.Driver, validation.DNS1123LabelMaxLength))
	}
	if csi.NodePublishSecretRef != nil {
		faults = append(faults, subdomain(at.Child("nodePublishSecretRef", "name"), csi.NodePublishSecretRef.Name)...)
	}
	return faults
}

func validateNFS(at *field.Path, nfs *corev1.NFSVolumeSource) field.ErrorList {
	faults := allRequired(at, "server", nfs.Server, "path", nfs.Path)
	if nfs.Path != "" && !path.IsAbs(nfs.Path) {
		faults = append(faults, field.Invalid(at.Child("path"), nfs.Path, "must be an absolute path"))
	}
	return faults
}

// validateClaimTemplate checks the claim of an ephemeral volume, which is made together with
// the pod.
func validateClaimTemplate(at *field.Path, template *corev1.PersistentVolumeClaimTemplate) field.ErrorList {
	if template == nil {
		return field.ErrorList{field.Required(at, "")}
	}
	var faults field.ErrorList
	spec, storage := at.Child("spec"), at.Child("spec", "resources", "requests").Key(string(corev1.ResourceStorage))
	if len(template.Spec.AccessModes) == 0 {
		faults = append(faults, field.Required(spec.Child("accessModes"), ""))
	}
	size, given := template.Spec.Resources.Requests[corev1.ResourceStorage]
	switch {
	case !given:
		faults = append(faults, field.Required(storage, ""))
	case size.Sign() <= 0:
		faults = append(faults, field.Invalid(storage, size.String(), "must be greater than zero"))
	}
	return faults
}

// allRequired takes pairs of a field's name and value.
func allRequired(at *field.Path, pairs ...string) field.ErrorList {
	var faults field.ErrorList
	for i := 0; i+1 < len(pairs); i += 2 {
		faults = append(faults, required(at.Child(pairs[i]), pairs[i+1])...)
	}
	return faults
}
