package conf

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// encode makes the sidecar of a flattened definition. The elements' JSON comes from what the
// author wrote, not from Go types, so nothing is defaulted, reformatted or lost.
func encode(p *parsed, flat tree) (*Sidecar, error) {
	d, err := typed(flat)
	if err != nil {
		return nil, err
	}
	e := encoder{}
	s := &Sidecar{
		Ref:                   p.ref,
		Origin:                p.document.Origin,
		Digest:                e.digest(p.ref, flat),
		PrependInitContainers: e.containers(flat, "prependInitContainers", d.PrependInitContainers),
		InitContainers:        e.containers(flat, "initContainers", d.InitContainers),
		PrependContainers:     e.containers(flat, "prependContainers", d.PrependContainers),
		Containers:            e.containers(flat, "containers", d.Containers),
		Volumes:               e.elements(elements(flat, "volumes")),
		VolumeMounts:          e.mounts(elements(flat, "volumeMounts")),
		Env:                   e.env(elements(flat, "env"), d.Env),
		EnvFrom:               e.envFrom(elements(flat, "envFrom"), d.EnvFrom),
		AppliesTo:             d.AppliesTo,
		Labels:                pairs(d.Labels),
		Annotations:           pairs(d.Annotations),
		NodeSelector:          pairs(d.NodeSelector),
		ImagePullSecrets:      e.elements(elements(flat, "imagePullSecrets")),
		Tolerations:           e.tolerations(elements(flat, "tolerations"), d.Tolerations),
		HostAliases:           e.jsons(elements(flat, "hostAliases")),
		HostNetwork:           d.HostNetwork,
		HostPID:               d.HostPID,
		HostIPC:               d.HostIPC,
		ShareProcessNamespace: d.ShareProcessNamespace,
		ServiceAccountName:    d.ServiceAccountName,
		AllowedNamespaces:     d.AllowedNamespaces,
		SkipHostNetworkPods:   d.SkipHostNetworkPods,
	}
	return s, e.err
}

// encoder keeps the first error, so that what uses it reads straight.
type encoder struct {
	err error
}

// json gives compact JSON with sorted keys and without HTML escapes.
func (e *encoder) json(value any) []byte {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil && e.err == nil {
		e.err = err
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n"))
}

func (e *encoder) digest(ref Ref, flat tree) string {
	content := maps.Clone(flat)
	content["name"] = ref.String()
	delete(content, "inherits")
	sum := sha256.Sum256(e.json(content))
	return hex.EncodeToString(sum[:])
}

func (e *encoder) elements(list []any) []Element {
	encoded := make([]Element, len(list))
	for i, element := range list {
		encoded[i] = Element{Name: nameOf(element), JSON: e.json(element)}
	}
	return encoded
}

func (e *encoder) mounts(list []any) []Mount {
	encoded := make([]Mount, len(list))
	for i, element := range e.elements(list) {
		mountPath, _ := list[i].(tree)["mountPath"].(string)
		encoded[i] = Mount{Element: element, Path: mountPath}
	}
	return encoded
}

// env, like the functions below, takes a list as it was written and the same one decoded.
func (e *encoder) env(list []any, decoded []corev1.EnvVar) []Env {
	encoded := make([]Env, len(list))
	for i, element := range e.elements(list) {
		encoded[i] = Env{Element: element, Volume: fileVolume(&decoded[i])}
	}
	return encoded
}

func (e *encoder) envFrom(list []any, decoded []corev1.EnvFromSource) []EnvFrom {
	encoded := make([]EnvFrom, len(list))
	for i, text := range e.jsons(list) {
		encoded[i] = EnvFrom{EnvSource: EnvSource{Prefix: decoded[i].Prefix}, JSON: text}
		if ref := decoded[i].ConfigMapRef; ref != nil {
			encoded[i].ConfigMap = ref.Name
		}
		if ref := decoded[i].SecretRef; ref != nil {
			encoded[i].Secret = ref.Name
		}
	}
	return encoded
}

func (e *encoder) tolerations(list []any, decoded []corev1.Toleration) []Toleration {
	encoded := make([]Toleration, len(list))
	for i, text := range e.jsons(list) {
		t := &decoded[i]
		encoded[i] = Toleration{JSON: text, Tolerated: Tolerated{
			Key: t.Key, Operator: cmp.Or(string(t.Operator), string(corev1.TolerationOpEqual)), Value: t.Value, Effect: string(t.Effect),
		}}
	}
	return encoded
}

func (e *encoder) jsons(list []any) [][]byte {
	encoded := make([][]byte, len(list))
	for i, element := range list {
		encoded[i] = e.json(element)
	}
	return encoded
}

// pairs gives the members in the order of their keys.
func pairs(members map[string]string) []Pair {
	list := make([]Pair, 0, len(members))
	for _, key := range slices.Sorted(maps.Keys(members)) {
		list = append(list, Pair{Key: key, Value: members[key]})
	}
	return list
}

func (e *encoder) containers(flat tree, list string, decoded []corev1.Container) []Container {
	encoded := make([]Container, len(decoded))
	for i, element := range elements(flat, list) {
		written, _ := element.(tree)
		encoded[i] = e.container(written, &decoded[i])
		if !strings.HasSuffix(strings.ToLower(list), "initcontainers") || native(&decoded[i]) {
			encoded[i].Ports = ports(&decoded[i])
		}
	}
	return encoded
}

func (e *encoder) container(written tree, decoded *corev1.Container) Container {
	rest := maps.Clone(written)
	for _, list := range addedTo() {
		delete(rest, list)
	}
	return Container{
		Element:      Element{Name: decoded.Name, JSON: e.json(rest)},
		Env:          e.env(elements(written, "env"), decoded.Env),
		EnvFrom:      e.envFrom(elements(written, "envFrom"), decoded.EnvFrom),
		VolumeMounts: e.mounts(elements(written, "volumeMounts")),
		Devices:      devices(decoded.VolumeDevices),
		Demands:      demandsOf(decoded),
	}
}

// addedTo are the lists of a container that merging adds to.
func addedTo() []string {
	return []string{"env", "envFrom", "volumeMounts"}
}

func devices(list []corev1.VolumeDevice) []Device {
	var found []Device
	for _, d := range list {
		found = append(found, Device{Name: d.Name, Path: d.DevicePath})
	}
	return found
}
