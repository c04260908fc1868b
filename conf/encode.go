package conf

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// encode makes the sidecar of a flattened definition. The elements' JSON comes from what the
// author wrote, not from Go types, so nothing is defaulted, reformatted or lost.
func encode(p *parsed, flat tree) (*Sidecar, error) {
	e := encoder{flat: flat}
	d, err := e.begin()
	if err != nil {
		return nil, err
	}
	s := &Sidecar{
		Ref:                   p.ref,
		Origin:                p.document.Origin,
		Digest:                e.digest(p.ref, flat),
		PrependInitContainers: e.containers("prependInitContainers", d.PrependInitContainers),
		InitContainers:        e.containers("initContainers", d.InitContainers),
		PrependContainers:     e.containers("prependContainers", d.PrependContainers),
		Containers:            e.containers("containers", d.Containers),
		Volumes:               e.elements(".volumes", elements(flat, "volumes")),
		VolumeMounts:          e.mounts(".volumeMounts", elements(flat, "volumeMounts"), d.VolumeMounts),
		Env:                   e.elements(".env", elements(flat, "env")),
		EnvFrom:               e.envFrom(".envFrom", elements(flat, "envFrom"), d.EnvFrom),
		AppliesTo:             d.AppliesTo,
		Labels:                e.pairs("labels", d.Labels),
		Annotations:           e.pairs("annotations", d.Annotations),
		NodeSelector:          e.pairs("nodeSelector", d.NodeSelector),
		ImagePullSecrets:      e.elements(".imagePullSecrets", elements(flat, "imagePullSecrets")),
		Tolerations:           e.tolerations(d.Tolerations),
		HostAliases:           e.texts(".hostAliases", elements(flat, "hostAliases")),
		HostNetwork:           d.HostNetwork,
		HostPID:               d.HostPID,
		HostIPC:               d.HostIPC,
		ShareProcessNamespace: d.ShareProcessNamespace,
		ServiceAccountName:    d.ServiceAccountName,
		AllowedNamespaces:     d.AllowedNamespaces,
		SkipHostNetworkPods:   d.SkipHostNetworkPods,
	}
	if e.sample.holds() {
		s.Parameters, s.PodFields, s.uses = e.sample.needs.parameters, e.sample.needs.fields, e.sample.needs.uses
		for i := range s.Parameters {
			s.Parameters[i].compile(nil) // it has been validated
		}
	}
	return s, e.err
}

// encoder keeps the first error, so that what uses it reads straight.
type encoder struct {
	flat   tree
	sample *sample
	stands []string // what stands in the holes
	err    error
}

// begin decodes the definition, with something in its holes.
func (e *encoder) begin() (*definition, error) {
	e.sample = newSample(e.flat)
	if !e.sample.holds() {
		return typed(e.flat)
	}
	kept, _ := e.sample.shape()
	needs := e.sample.needs
	for i := range needs.uses {
		value, _ := needs.stand(i)
		e.stands = append(e.stands, value)
	}
	return typed(kept)
}

// text encodes what stands at a path.
func (e *encoder) text(path string, value any) Text {
	if e.stands == nil {
		return Text{JSON: e.json(value)}
	}
	w := templateWriter{encoder: e, needs: e.sample.needs, bare: e.sample.bare}
	w.write(path, value)
	made := w.done()
	if made == nil {
		return Text{JSON: w.text}
	}
	return Text{JSON: made.fill(e.stands), template: made}
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

func (e *encoder) texts(path string, list []any) []Text {
	encoded := make([]Text, len(list))
	for i, element := range list {
		encoded[i] = e.text(indexed(path, i), element)
	}
	return encoded
}

func indexed(path string, i int) string {
	return path + "." + strconv.Itoa(i)
}

func (e *encoder) elements(path string, list []any) []Element {
	encoded := make([]Element, len(list))
	for i, text := range e.texts(path, list) {
		encoded[i] = Element{Name: nameOf(list[i]), Text: text}
	}
	return encoded
}

// mounts, like the functions below, takes a list as it was written and the same one decoded.
func (e *encoder) mounts(path string, list []any, decoded []corev1.VolumeMount) []Mount {
	encoded := make([]Mount, len(list))
	for i, element := range e.elements(path, list) {
		encoded[i] = Mount{Element: element, Path: decoded[i].MountPath}
		if element.holed() {
			written, _ := list[i].(tree)["mountPath"].(string)
			encoded[i].path = e.text(indexed(path, i)+".mountPath", written).template
		}
	}
	return encoded
}

func (e *encoder) envFrom(path string, list []any, decoded []corev1.EnvFromSource) []EnvFrom {
	encoded := make([]EnvFrom, len(list))
	for i, text := range e.texts(path, list) {
		encoded[i] = EnvFrom{EnvSource: sourceOf(&decoded[i]), Text: text}
	}
	return encoded
}

func sourceOf(from *corev1.EnvFromSource) EnvSource {
	source := EnvSource{Prefix: from.Prefix}
	if ref := from.ConfigMapRef; ref != nil {
		source.ConfigMap = ref.Name
	}
	if ref := from.SecretRef; ref != nil {
		source.Secret = ref.Name
	}
	return source
}

func (e *encoder) tolerations(decoded []corev1.Toleration) []Toleration {
	encoded := make([]Toleration, len(decoded))
	for i, text := range e.texts(".tolerations", elements(e.flat, "tolerations")) {
		encoded[i] = Toleration{Tolerated: toleratedBy(&decoded[i]), Text: text}
	}
	return encoded
}

func toleratedBy(t *corev1.Toleration) Tolerated {
	return Tolerated{
		Key: t.Key, Operator: cmp.Or(string(t.Operator), string(corev1.TolerationOpEqual)), Value: t.Value, Effect: string(t.Effect),
	}
}

// pairs gives the members of a map in the order of their keys.
func (e *encoder) pairs(name string, decoded map[string]string) []Pair {
	written, _ := e.flat[name].(tree)
	list := make([]Pair, 0, len(decoded))
	for _, key := range slices.Sorted(maps.Keys(decoded)) {
		list = append(list, Pair{Key: key, Value: decoded[key], Text: e.text("."+name+step(key), written[key])})
	}
	return list
}

func (e *encoder) containers(list string, decoded []corev1.Container) []Container {
	encoded := make([]Container, len(decoded))
	for i, element := range elements(e.flat, list) {
		written, _ := element.(tree)
		encoded[i] = e.container(indexed("."+list, i), written, &decoded[i])
		encoded[i].derive(&decoded[i], isInit(list))
	}
	return encoded
}

func isInit(list string) bool {
	return list == "initContainers" || list == "prependInitContainers"
}

func (e *encoder) container(path string, written tree, decoded *corev1.Container) Container {
	rest := maps.Clone(written)
	for _, list := range addedTo() {
		delete(rest, list)
	}
	return Container{
		Element:      Element{Name: decoded.Name, Text: e.text(path, rest)},
		Env:          e.elements(path+".env", elements(written, "env")),
		EnvFrom:      e.envFrom(path+".envFrom", elements(written, "envFrom"), decoded.EnvFrom),
		VolumeMounts: e.mounts(path+".volumeMounts", elements(written, "volumeMounts"), decoded.VolumeMounts),
	}
}

// derive sets the fields that merging compares.
func (c *Container) derive(decoded *corev1.Container, init bool) {
	c.Devices, c.Ports = devices(decoded.VolumeDevices), nil
	if !init || native(decoded) {
		c.Ports = ports(decoded)
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

// ports returns the ports of a container, which may conflict on the node.
func ports(c *corev1.Container) []Port {
	var list []Port
	for _, p := range c.Ports {
		list = append(list, Port{
			ContainerPort: p.ContainerPort,
			HostPort:      p.HostPort,
			Protocol:      cmp.Or(string(p.Protocol), string(corev1.ProtocolTCP)),
			HostIP:        p.HostIP,
		})
	}
	return list
}

// native reports whether an init container keeps running: a native sidecar (KEP-753).
func native(c *corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}
