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

// encode returns the sidecar of a flattened definition.
func encode(p *parsed, flat *flattened) (*Sidecar, error) {
	digest, err := digestOf(p.ref, flat.tree)
	if err != nil {
		return nil, err
	}
	s := &Sidecar{Ref: p.ref, Origin: p.document.Origin, Digest: digest, Level: flat.security.level}
	if mayHaveParameters(flat.tree) {
		return s, s.encodeWithParameters(decodeDefinition(flat.tree))
	}
	d, err := typed(flat.tree)
	if err != nil {
		return nil, err
	}
	return s, s.encode(flat.tree, d)
}

// encodeWithParameters encodes a valid definition with the defaults of its parameters, and with sample
// values where there is no default.
func (s *Sidecar) encodeWithParameters(source *decoded) error {
	samples := source.scope.Samples(0)
	filled, d, _, err := source.substitute(samples)
	if err != nil {
		return err
	}
	s.Parameters, s.PodFields = source.scope.Parameters, source.scope.PodFields
	if len(s.Parameters)+len(s.PodFields) > 0 {
		s.source = source
	}
	if source.scope.HasDefaults() {
		s.rendered = samples
	}
	for i := range s.Parameters {
		if err := s.Parameters[i].Compile(); err != nil {
			return err
		}
	}
	return s.encode(filled, d)
}

// encode sets the fields that come from the definition. The JSON of elements comes from the tree, not
// from Go types, so that nothing is defaulted, reformatted or lost.
func (s *Sidecar) encode(from tree, d *definition) error {
	e := encoder{from: from}
	s.PrependInitContainers = e.containers("prependInitContainers", d.PrependInitContainers)
	s.InitContainers = e.containers("initContainers", d.InitContainers)
	s.PrependContainers = e.containers("prependContainers", d.PrependContainers)
	s.Containers = e.containers("containers", d.Containers)
	s.Volumes = e.elements(elements(from, "volumes"))
	s.VolumeMounts = e.mounts(elements(from, "volumeMounts"), d.VolumeMounts)
	s.Env = e.elements(elements(from, "env"))
	s.EnvFrom = e.envFrom(elements(from, "envFrom"), d.EnvFrom)
	s.AppliesTo = d.AppliesTo
	s.Labels = e.pairs("labels", d.Labels)
	s.Annotations = e.pairs("annotations", d.Annotations)
	s.NodeSelector = e.pairs("nodeSelector", d.NodeSelector)
	s.ImagePullSecrets = e.elements(elements(from, "imagePullSecrets"))
	s.Tolerations = e.tolerations(d.Tolerations)
	s.HostAliases = e.texts(elements(from, "hostAliases"))
	s.HostNetwork, s.HostPID, s.HostIPC = d.HostNetwork, d.HostPID, d.HostIPC
	s.ShareProcessNamespace = d.ShareProcessNamespace
	s.ServiceAccountName = d.ServiceAccountName
	s.AllowedNamespaces = d.AllowedNamespaces
	s.SkipHostNetworkPods = d.SkipHostNetworkPods
	return e.err
}

// encoder keeps its first error.
type encoder struct {
	from tree
	err  error
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

func (e *encoder) texts(list []any) []RawJSON {
	encoded := make([]RawJSON, len(list))
	for i, element := range list {
		encoded[i] = e.text(element)
	}
	return encoded
}

func (e *encoder) elements(list []any) []Element {
	encoded := make([]Element, len(list))
	for i, text := range e.texts(list) {
		encoded[i] = Element{Name: nameOf(list[i]), RawJSON: text}
	}
	return encoded
}

// mounts takes a list and the same list as Go types, as do the methods below.
func (e *encoder) mounts(list []any, decoded []corev1.VolumeMount) []Mount {
	encoded := make([]Mount, len(list))
	for i, element := range e.elements(list) {
		encoded[i] = Mount{Element: element, Path: decoded[i].MountPath}
	}
	return encoded
}

func (e *encoder) envFrom(list []any, decoded []corev1.EnvFromSource) []EnvFrom {
	encoded := make([]EnvFrom, len(list))
	for i, text := range e.texts(list) {
		encoded[i] = EnvFrom{EnvSource: sourceOf(&decoded[i]), RawJSON: text}
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
	for i, text := range e.texts(elements(e.from, "tolerations")) {
		encoded[i] = Toleration{Tolerated: toleratedBy(&decoded[i]), RawJSON: text}
	}
	return encoded
}

func toleratedBy(t *corev1.Toleration) Tolerated {
	return Tolerated{
		Key:      t.Key,
		Operator: cmp.Or(string(t.Operator), string(corev1.TolerationOpEqual)),
		Value:    t.Value,
		Effect:   string(t.Effect),
	}
}

// pairs returns the members of a map, sorted by key.
func (e *encoder) pairs(name string, decoded map[string]string) []Pair {
	written, _ := e.from[name].(tree)
	list := make([]Pair, 0, len(decoded))
	for _, key := range slices.Sorted(maps.Keys(decoded)) {
		list = append(list, Pair{Key: key, Value: decoded[key], RawJSON: e.text(written[key])})
	}
	return list
}

func (e *encoder) containers(list string, decoded []corev1.Container) []Container {
	encoded := make([]Container, len(decoded))
	for i, element := range elements(e.from, list) {
		written, _ := element.(tree)
		encoded[i] = e.container(written, &decoded[i])
		if !isInit(list) || native(&decoded[i]) {
			encoded[i].Ports = ports(&decoded[i])
		}
	}
	return encoded
}

func isInit(list string) bool {
	return list == "initContainers" || list == "prependInitContainers"
}

func (e *encoder) container(written tree, decoded *corev1.Container) Container {
	rest := maps.Clone(written)
	for _, list := range addedTo() {
		delete(rest, list)
	}
	return Container{
		Element:      Element{Name: decoded.Name, RawJSON: e.text(rest)},
		Env:          e.elements(elements(written, "env")),
		EnvFrom:      e.envFrom(elements(written, "envFrom"), decoded.EnvFrom),
		VolumeMounts: e.mounts(elements(written, "volumeMounts"), decoded.VolumeMounts),
		Devices:      devices(decoded.VolumeDevices),
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
