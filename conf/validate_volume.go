package conf

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateVolume(path *field.Path, v *corev1.Volume) field.ErrorList {
	faults := label(path.Child("name"), v.Name)
	faults = append(faults, oneOf(path, "volume source", pointersSet(&v.VolumeSource))...)
	return append(faults, validateVolumeSource(path, &v.VolumeSource)...)
}

// validateVolumeSource checks the fields without which a source means nothing.
func validateVolumeSource(path *field.Path, s *corev1.VolumeSource) field.ErrorList {
	var faults field.ErrorList
	switch {
	case s.HostPath != nil:
		faults = required(path.Child("hostPath", "path"), s.HostPath.Path)
		faults = append(faults, noDotDot(path.Child("hostPath", "path"), s.HostPath.Path)...)
	case s.EmptyDir != nil:
		faults = validateEmptyDir(path.Child("emptyDir"), s.EmptyDir)
	case s.ConfigMap != nil:
		faults = subdomain(path.Child("configMap", "name"), s.ConfigMap.Name)
		faults = append(faults, validateItems(path.Child("configMap"), s.ConfigMap.Items, s.ConfigMap.DefaultMode)...)
	case s.Secret != nil:
		faults = subdomain(path.Child("secret", "secretName"), s.Secret.SecretName)
		faults = append(faults, validateItems(path.Child("secret"), s.Secret.Items, s.Secret.DefaultMode)...)
	case s.PersistentVolumeClaim != nil:
		faults = subdomain(path.Child("persistentVolumeClaim", "claimName"), s.PersistentVolumeClaim.ClaimName)
	case s.Projected != nil:
		faults = validateProjected(path.Child("projected"), s.Projected)
	case s.DownwardAPI != nil:
		faults = validateMode(path.Child("downwardAPI", "defaultMode"), s.DownwardAPI.DefaultMode)
		faults = append(faults, validateDownwardFiles(path.Child("downwardAPI"), s.DownwardAPI.Items)...)
	case s.Ephemeral != nil:
		faults = validateClaimTemplate(path.Child("ephemeral", "volumeClaimTemplate"), s.Ephemeral.VolumeClaimTemplate)
	default:
		faults = validateDriver(path, s)
	}
	return faults
}

func validateEmptyDir(path *field.Path, e *corev1.EmptyDirVolumeSource) field.ErrorList {
	var faults field.ErrorList
	media := []corev1.StorageMedium{corev1.StorageMediumDefault, corev1.StorageMediumMemory, corev1.StorageMediumHugePages}
	if !slices.Contains(media, e.Medium) && !strings.HasPrefix(string(e.Medium), string(corev1.StorageMediumHugePagesPrefix)) {
		faults = append(faults, field.NotSupported(path.Child("medium"), e.Medium, append(media[1:], corev1.StorageMediumHugePagesPrefix+"SIZE")))
	}
	if e.Mode != nil && (*e.Mode < 0 || *e.Mode > 0o1777) {
		faults = append(faults, field.Invalid(path.Child("mode"), *e.Mode, "must be between 0000 and 01777, both inclusive"))
	}
	if e.SizeLimit != nil && e.SizeLimit.Sign() < 0 {
		faults = append(faults, field.Invalid(path.Child("sizeLimit"), e.SizeLimit.String(), "must not be negative"))
	}
	return faults
}

func validateProjected(path *field.Path, p *corev1.ProjectedVolumeSource) field.ErrorList {
	faults := validateMode(path.Child("defaultMode"), p.DefaultMode)
	for i := range p.Sources {
		at, source := path.Child("sources").Index(i), &p.Sources[i]
		faults = append(faults, oneOf(at, "source", pointersSet(source))...)
		faults = append(faults, validateProjection(at, source)...)
	}
	return faults
}

func validateProjection(path *field.Path, source *corev1.VolumeProjection) field.ErrorList {
	var faults field.ErrorList
	switch {
	case source.ConfigMap != nil:
		faults = subdomain(path.Child("configMap", "name"), source.ConfigMap.Name)
		faults = append(faults, validateItems(path.Child("configMap"), source.ConfigMap.Items, nil)...)
	case source.Secret != nil:
		faults = subdomain(path.Child("secret", "name"), source.Secret.Name)
		faults = append(faults, validateItems(path.Child("secret"), source.Secret.Items, nil)...)
	case source.DownwardAPI != nil:
		faults = validateDownwardFiles(path.Child("downwardAPI"), source.DownwardAPI.Items)
	case source.ServiceAccountToken != nil:
		faults = validateToken(path.Child("serviceAccountToken"), source.ServiceAccountToken)
	case source.ClusterTrustBundle != nil:
		faults = validateTrustBundle(path.Child("clusterTrustBundle"), source.ClusterTrustBundle)
	case source.PodCertificate != nil:
		faults = validateCertificate(path.Child("podCertificate"), source.PodCertificate)
	}
	return faults
}

func validateToken(path *field.Path, token *corev1.ServiceAccountTokenProjection) field.ErrorList {
	faults := filePath(path.Child("path"), token.Path)
	if seconds := token.ExpirationSeconds; seconds != nil && (*seconds < 600 || *seconds > 1<<32) {
		faults = append(faults, field.Invalid(path.Child("expirationSeconds"), *seconds, "must be between 600 and 4294967296, both inclusive"))
	}
	return faults
}

func validateTrustBundle(path *field.Path, bundle *corev1.ClusterTrustBundleProjection) field.ErrorList {
	faults := filePath(path.Child("path"), bundle.Path)
	if (bundle.Name == nil) == (bundle.SignerName == nil) {
		faults = append(faults, field.Required(path, "needs exactly one of name and signerName"))
	}
	return faults
}

func validateCertificate(path *field.Path, c *corev1.PodCertificateProjection) field.ErrorList {
	faults := required(path.Child("signerName"), c.SignerName)
	types := []string{"RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"}
	if !slices.Contains(types, c.KeyType) {
		faults = append(faults, field.NotSupported(path.Child("keyType"), c.KeyType, types))
	}
	if c.CredentialBundlePath+c.KeyPath+c.CertificateChainPath == "" {
		faults = append(faults, field.Required(path, "needs credentialBundlePath, keyPath or certificateChainPath"))
	}
	faults = append(faults, unreserved(path.Child("credentialBundlePath"), c.CredentialBundlePath)...)
	faults = append(faults, unreserved(path.Child("keyPath"), c.KeyPath)...)
	return append(faults, unreserved(path.Child("certificateChainPath"), c.CertificateChainPath)...)
}

func validateDownwardFiles(path *field.Path, files []corev1.DownwardAPIVolumeFile) field.ErrorList {
	var faults field.ErrorList
	for i, file := range files {
		at := path.Child("items").Index(i)
		faults = append(faults, filePath(at.Child("path"), file.Path)...)
		faults = append(faults, validateMode(at.Child("mode"), file.Mode)...)
		// The source of an env variable is the same union, and has no other pointers beside it.
		source := corev1.EnvVarSource{FieldRef: file.FieldRef, ResourceFieldRef: file.ResourceFieldRef}
		faults = append(faults, oneOf(at, "source", pointersSet(&source))...)
		if ref := file.FieldRef; ref != nil {
			faults = append(faults, validateFieldRef(at.Child("fieldRef"), ref, volumeFields())...)
		}
		if ref := file.ResourceFieldRef; ref != nil {
			faults = append(faults, required(at.Child("resourceFieldRef", "containerName"), ref.ContainerName)...)
			faults = append(faults, validateResourceRef(at.Child("resourceFieldRef"), ref)...)
		}
	}
	return faults
}

func validateItems(path *field.Path, items []corev1.KeyToPath, mode *int32) field.ErrorList {
	faults := validateMode(path.Child("defaultMode"), mode)
	for i, item := range items {
		at := path.Child("items").Index(i)
		faults = append(faults, required(at.Child("key"), item.Key)...)
		faults = append(faults, filePath(at.Child("path"), item.Path)...)
		faults = append(faults, validateMode(at.Child("mode"), item.Mode)...)
	}
	return faults
}

// filePath is a path of a file inside a volume, which must be there.
func filePath(path *field.Path, value string) field.ErrorList {
	return append(required(path, value), unreserved(path, value)...)
}

// unreserved keeps clear of kubelet's own files in a volume, such as ..data.
func unreserved(path *field.Path, value string) field.ErrorList {
	if faults := relative(path, value); len(faults) > 0 {
		return faults
	}
	if strings.HasPrefix(value, "..") {
		return field.ErrorList{field.Invalid(path, value, "must not begin with '..'")}
	}
	return nil
}

// validateMode wants permission bits. YAML reads 0644 as octal, so 420 is meant by both.
func validateMode(path *field.Path, mode *int32) field.ErrorList {
	if mode != nil && (*mode < 0 || *mode > 0o777) {
		return field.ErrorList{field.Invalid(path, *mode, "must be between 0000 and 0777, both inclusive")}
	}
	return nil
}

// validateMounts checks each mount on its own.
func validateMounts(path *field.Path, mounts []corev1.VolumeMount) field.ErrorList {
	var faults field.ErrorList
	for i, m := range mounts {
		at := path.Index(i)
		faults = append(faults, label(at.Child("name"), m.Name)...)
		faults = append(faults, required(at.Child("mountPath"), m.MountPath)...)
		if m.SubPath != "" && m.SubPathExpr != "" {
			faults = append(faults, field.Forbidden(at.Child("subPathExpr"), "not together with subPath"))
		}
		faults = append(faults, relative(at.Child("subPath"), m.SubPath)...)
		faults = append(faults, relative(at.Child("subPathExpr"), m.SubPathExpr)...)
		faults = append(faults, validateRecursive(at.Child("recursiveReadOnly"), &m)...)
		faults = append(faults, validateBindOptions(at.Child("bindMountOptions"), m.BindMountOptions)...)
	}
	return faults
}

// validateRecursive checks recursiveReadOnly against the fields that it depends on (KEP-3857).
func validateRecursive(path *field.Path, m *corev1.VolumeMount) field.ErrorList {
	if m.RecursiveReadOnly == nil || *m.RecursiveReadOnly == corev1.RecursiveReadOnlyDisabled {
		return nil
	}
	var faults field.ErrorList
	if !m.ReadOnly {
		faults = append(faults, field.Forbidden(path, "only with readOnly: true"))
	}
	if m.MountPropagation != nil && *m.MountPropagation != corev1.MountPropagationNone {
		faults = append(faults, field.Forbidden(path, "only without mountPropagation"))
	}
	return faults
}

func validateBindOptions(path *field.Path, options []string) field.ErrorList {
	var faults field.ErrorList
	allowed := values(corev1.BindMountOptionNoExec, corev1.BindMountOptionNoDev, corev1.BindMountOptionNoSUID)
	seen := make(map[string]bool)
	for i, option := range options {
		if !slices.Contains(allowed, option) {
			faults = append(faults, field.NotSupported(path.Index(i), option, allowed))
		}
		faults = append(faults, unique(seen, path.Index(i), option)...)
	}
	return faults
}

func relative(path *field.Path, value string) field.ErrorList {
	if strings.HasPrefix(value, "/") {
		return field.ErrorList{field.Invalid(path, value, "must be a relative path")}
	}
	return noDotDot(path, value)
}

func noDotDot(path *field.Path, value string) field.ErrorList {
	if slices.Contains(strings.Split(value, "/"), "..") {
		return field.ErrorList{field.Invalid(path, value, "must not contain '..'")}
	}
	return nil
}
