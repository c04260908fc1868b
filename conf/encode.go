package conf

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// encode returns the sidecar of a flattened definition, with the defaults of its parameters, and with sample
// values where there is no default.
func encode(p *parsed, flat *flattened) (*Sidecar, error) {
	digest, err := digestOf(p.ref, flat.tree)
	if err != nil {
		return nil, err
	}
	source := decodeFlat(flat.tree)
	samples := source.scope.Samples(0)
	filled, d, _, err := source.substitute(samples)
	if err != nil {
		return nil, err
	}
	s := &Sidecar{
		Ref: p.ref, Origin: p.document.Origin, Digest: digest, Level: flat.security.level,
		Parameters: source.scope.Parameters,
	}
	if len(s.Parameters) > 0 {
		s.source = source
	}
	s.rendered = samples
	for i := range s.Parameters {
		if s.Parameters[i].Default == nil {
			s.rendered = nil
		}
		if err := s.Parameters[i].Compile(); err != nil {
			return nil, err
		}
	}
	return s, s.encode(filled, d)
}

// encode sets the fields that come from the definition. The JSON of elements comes from the tree, not
// from Go types, so that nothing is defaulted, reformatted or lost.
func (s *Sidecar) encode(from tree, d *definition) error {
	e := new(encoder)
	s.PrependInitContainers = e.initContainers(elements(from, "prependInitContainers"), d.PrependInitContainers)
	s.InitContainers = e.initContainers(elements(from, "initContainers"), d.InitContainers)
	s.PrependContainers = e.containers(elements(from, "prependContainers"), d.PrependContainers)
	s.Containers = e.containers(elements(from, "containers"), d.Containers)
	s.Volumes = encodeList(e, from, "volumes", newElement)
	s.VolumeMounts = encodeList(e, from, "volumeMounts", newMount)
	s.Env = encodeList(e, from, "env", newElement)
	s.EnvFrom = encodeList(e, from, "envFrom", newEnvFrom)
	s.AppliesTo = d.AppliesTo
	s.Labels = e.pairs(from["labels"], d.Labels)
	s.Annotations = e.pairs(from["annotations"], d.Annotations)
	s.NodeSelector = e.pairs(from["nodeSelector"], d.NodeSelector)
	s.ImagePullSecrets = encodeList(e, from, "imagePullSecrets", newElement)
	s.Tolerations = encodeList(e, from, "tolerations", newToleration)
	s.HostAliases = encodeList(e, from, "hostAliases", func(_ any, text RawJSON) RawJSON { return text })
	s.HostNetwork, s.HostPID, s.HostIPC = d.HostNetwork, d.HostPID, d.HostIPC
	s.ShareProcessNamespace = d.ShareProcessNamespace
	s.ServiceAccountName = d.ServiceAccountName
	s.AllowedNamespaces = d.AllowedNamespaces
	s.SkipHostNetworkPods = d.SkipHostNetworkPods
	return e.err
}

// encoder keeps its first error.
type encoder struct {
	err error
}

func (e *encoder) text(value any) RawJSON {
	text, err := compactJSON(value)
	if err != nil && e.err == nil {
		e.err = err
	}
	return RawJSON{JSON: text}
}

// compactJSON returns JSON with sorted keys and without HTML escapes.
func compactJSON(value any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n")), err
}

func digestOf(ref Ref, flat tree) (string, error) {
	content := maps.Clone(flat)
	content["name"] = ref.String()
	delete(content, "inherits")
	text, err := compactJSON(content)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), err
}

// encodeList encodes the elements of a list.
func encodeList[E any](e *encoder, from tree, list string, encode func(element any, text RawJSON) E) []E {
	written := elements(from, list)
	encoded := make([]E, len(written))
	for i, element := range written {
		encoded[i] = encode(element, e.text(element))
	}
	return encoded
}

func newElement(element any, text RawJSON) Element {
	return Element{Name: nameOf(element), RawJSON: text}
}

func newMount(element any, text RawJSON) Mount {
	return Mount{Element: newElement(element, text), Path: textOf(element, "mountPath")}
}

func newEnvFrom(element any, text RawJSON) EnvFrom {
	from, _ := element.(tree)
	return EnvFrom{RawJSON: text, EnvSource: EnvSource{
		Prefix:    textOf(from, "prefix"),
		ConfigMap: nameOf(from["configMapRef"]),
		Secret:    nameOf(from["secretRef"]),
	}}
}

func newToleration(element any, text RawJSON) Toleration {
	return Toleration{RawJSON: text, Tolerated: Tolerated{
		Key:      textOf(element, "key"),
		Operator: cmp.Or(textOf(element, "operator"), string(corev1.TolerationOpEqual)),
		Value:    textOf(element, "value"),
		Effect:   textOf(element, "effect"),
	}}
}

// pairs returns the members of a map, sorted by key.
func (e *encoder) pairs(members any, decoded map[string]string) []Pair {
	written, _ := members.(tree)
	list := make([]Pair, 0, len(decoded))
	for _, key := range slices.Sorted(maps.Keys(decoded)) {
		list = append(list, Pair{Key: key, Value: decoded[key], RawJSON: e.text(written[key])})
	}
	return list
}

// initContainers is containers without the ports of those that do not keep running. Only native sidecars do
// (KEP-753).
func (e *encoder) initContainers(list []any, decoded []corev1.Container) []Container {
	encoded := e.containers(list, decoded)
	for i, c := range decoded {
		if c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways {
			encoded[i].Ports = nil
		}
	}
	return encoded
}

// containers takes a list and the same list as Go types.
func (e *encoder) containers(list []any, decoded []corev1.Container) []Container {
	encoded := make([]Container, len(list))
	for i, element := range list {
		written, _ := element.(tree)
		rest := maps.Clone(written)
		for _, added := range []string{"env", "envFrom", "volumeMounts"} { // merging adds to these
			delete(rest, added)
		}
		encoded[i] = Container{
			Element:      newElement(rest, e.text(rest)),
			Env:          encodeList(e, written, "env", newElement),
			EnvFrom:      encodeList(e, written, "envFrom", newEnvFrom),
			VolumeMounts: encodeList(e, written, "volumeMounts", newMount),
			Ports:        ports(&decoded[i]),
		}
		for _, d := range decoded[i].VolumeDevices {
			encoded[i].Devices = append(encoded[i].Devices, Device{Name: d.Name, Path: d.DevicePath})
		}
	}
	return encoded
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
