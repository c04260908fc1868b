package conf

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// compiled is a valid document with all that it inherits. It is not changed afterwards, so that the next load can
// reuse it while the document and its base are the same.
type compiled struct {
	base     *compiled // nil if the document inherits nothing
	bases    *Base     // the chain of bases
	text     []byte    // the definition as canonical JSON
	size     int       // in bytes of JSON, with overridden values
	depth    int       // number of bases in the chain
	security podSecurity
	tried    int      // part of the usage of its file or ConfigMap
	again    bool     // as in parsed
	sidecar  *Sidecar // nil if the document is base-only
}

// serve sets the sidecar of a valid document that is served.
func (c *compiled) serve(p *parsed, source *decoded, d *definition, security podSecurity, warnings []*Error) error {
	if p.baseOnly {
		return nil
	}
	sum := sha256.Sum256(c.text)
	s := &Sidecar{
		Ref: p.ref, Origin: p.origin, Digest: hex.EncodeToString(sum[:]), Level: security.level,
		Violations: security.short(), Warnings: warnings, Parameters: source.scope.Parameters,
		AllowedNamespaces: d.AllowedNamespaces, SkipHostNetworkPods: d.SkipHostNetworkPods,
		OS: cmp.Or(d.OS, string(corev1.Linux)), InJobs: cmp.Or(d.InJobs, InJobsKeep),
		text: c.text, base: c.bases, rendered: source.scope.Samples(0), forms: new(forms),
	}
	for i := range s.Parameters {
		if s.Parameters[i].Default == nil {
			s.rendered = nil
		}
		if err := s.Parameters[i].Compile(); err != nil {
			return err
		}
	}
	c.sidecar = s
	return nil
}

// encode returns the content of a definition. The JSON of elements comes from the tree, not
// from Go types, so that nothing is defaulted, reformatted or lost.
func (s *Sidecar) encode(filled filling) *Content {
	e, from, d := &encoder{whole: s.text}, filled.tree, filled.typed
	c := &Content{
		PrependInitContainers: e.initContainers(elements(from, "prependInitContainers"), d.PrependInitContainers),
		InitContainers:        e.initContainers(elements(from, "initContainers"), d.InitContainers),
		PrependContainers:     e.containers(elements(from, "prependContainers"), d.PrependContainers),
		Containers:            e.containers(elements(from, "containers"), d.Containers),
		Elements:              make(map[string][]Element), // without a size, because few fields are elements
		AppliesTo:             d.AppliesTo, CopyFrom: d.CopyFrom,
	}
	for field, value := range from {
		if !slices.Contains(encodedApart(), field) {
			c.encodeField(e, field, value)
		}
	}
	return c
}

// encodeField sets the elements of a field. A list in a combined object has elements of its own, by its path, such as
// dnsConfig.options. The other fields of the object are its elements.
func (c *Content) encodeField(e *encoder, field string, value any) {
	if !slices.Contains(combinedObjects(), field) {
		c.Elements[field] = e.elements(field, value)
		return
	}
	members, _ := value.(tree)
	for _, key := range fieldsOf(members) {
		if path := field + "." + key; elements(members, key) != nil {
			c.Elements[path] = e.elements(path, members[key])
		} else {
			c.Elements[field] = append(c.Elements[field], Element{Name: key, JSON: e.text(members[key])})
		}
	}
}

// encodedApart returns the fields of a definition that are not in Content.Elements.
func encodedApart() []string {
	return []string{
		"name", "inherits", "parameters", "appliesTo", "copyFrom", "allowedNamespaces", "skipHostNetworkPods",
		"os", "inJobs", "prependInitContainers", "initContainers", "prependContainers", "containers",
	}
}

// encoder encodes the parts of a definition.
type encoder struct {
	whole    []byte // the definition
	searched int    // bytes of it that were searched for elements
	scratch  []byte
}

// maxSearched bounds the time to find the elements of a definition in it. Further elements are copied.
const maxSearched = 4 << 20

// text returns JSON. It shares the memory of the definition, which has most values.
func (e *encoder) text(value any) []byte {
	text, err := appendJSON(e.scratch[:0], value)
	if err != nil {
		panic(err) // a load has encoded the definition
	}
	e.scratch = text
	if e.searched < maxSearched {
		if at := bytes.Index(e.whole, text); at >= 0 {
			end := at + len(text)
			e.searched += end
			return e.whole[at:end:end]
		}
		e.searched += len(e.whole)
	}
	return bytes.Clone(text)
}

// canonical returns the definition as JSON with sorted keys. Its name is the ref, and it has no inherits, so that it
// depends on the content only.
func canonical(ref Ref, definition tree) ([]byte, error) {
	content := maps.Clone(definition)
	content["name"] = ref.String()
	delete(content, "inherits")
	text, err := compactJSON(content)
	return bytes.Clone(text), err // without spare capacity
}

// elements encodes the elements of a list, the members of a map by key, or the value of another field.
func (e *encoder) elements(field string, value any) []Element {
	var encoded []Element
	members, _ := value.(tree)
	list, isList := value.([]any)
	switch {
	case isList:
		encoded = slices.Grow(encoded, len(list))
		for _, element := range list {
			encoded = append(encoded, e.element(field, element))
		}
	case slices.Contains(overlaidMaps(), field):
		encoded = slices.Grow(encoded, len(members))
		for _, key := range sortedKeys(members) {
			encoded = append(encoded, Element{Name: key, Value: textOf(members, key), JSON: e.text(members[key])})
		}
	case value != nil && value != false && value != "" && (members == nil || len(fieldsOf(members)) > 0):
		encoded = append(encoded, e.element(field, value))
	}
	return encoded
}

// fieldsOf returns the names of the fields of an object that have a value, sorted.
func fieldsOf(object tree) []string {
	var names []string
	for _, name := range sortedKeys(object) {
		if object[name] != nil {
			names = append(names, name)
		}
	}
	return names
}

// element encodes an element of a list, or the value of a field that is neither a list nor a map.
func (e *encoder) element(field string, value any) Element {
	element := Element{JSON: e.text(value)}
	members, _ := value.(tree)
	text := func(key string) string { return textOf(members, key) }
	switch field {
	case "affinity":
		element.Name = strings.Join(fieldsOf(members), ", ")
	case "volumeMounts":
		element.Value = text("mountPath")
	case "envFrom":
		element.Name = EnvFromName(text("prefix"), nameOf(members["configMapRef"]), nameOf(members["secretRef"]))
	case "tolerations":
		element.Name = TolerationName(text("key"), text("operator"), text("value"), text("effect"))
	case "topologySpreadConstraints":
		element.Name = SpreadConstraintName(text("topologyKey"), text("whenUnsatisfiable"))
	}
	whole, _ := value.(string)
	element.Name = cmp.Or(element.Name, text("name"), whole, string(element.JSON))
	return element
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

// containerLists returns the fields of ContainerElements.
func containerLists() []string { return []string{"env", "envFrom", "volumeMounts"} }

// containers takes a list and the same list as Go types.
func (e *encoder) containers(list []any, decoded []corev1.Container) []Container {
	encoded := make([]Container, len(list))
	for i, element := range list {
		written, _ := element.(tree)
		rest := maps.Clone(written)
		var added ContainerElements
		for _, field := range containerLists() {
			*added.list(field) = e.elements(field, written[field])
			delete(rest, field)
		}
		encoded[i] = Container{
			Element: e.element("containers", rest), Elements: added,
			Devices: decoded[i].VolumeDevices, Ports: decoded[i].Ports,
		}
	}
	return encoded
}
