package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/hashicorp/go-multierror"
	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
)

// configMapReader collects the definitions of the ConfigMaps in manifests. Its maps must not be nil.
type configMapReader struct {
	selector  labels.Selector // nil selects all
	namespace string          // of ConfigMaps that have none; if empty, it is default

	documents []conf.Document
	places    places
	faults    []*conf.Error // of manifests, with the position in the file
	skipped   []skippedObject
	// unselected are the namespaces and names of ConfigMaps that the selector does not match.
	unselected []string
}

// place is where the value of a key of a ConfigMap is in a manifest.
type place struct {
	file string
	line int
	// literal is set if the lines of the value follow this line.
	literal bool
}

// at returns the line in the file for a line of the value, or that of the key if the text of the value is folded or
// quoted.
func (p place) at(line int) int {
	if p.literal {
		return p.line + line
	}
	return p.line
}

// places are the places of ConfigMaps and of their keys.
type places map[conf.Origin]place

// of returns the place of the ConfigMap or key that has a document.
func (p places) of(document conf.Origin) (place, bool) {
	document.Index = 0
	at, ok := p[document]
	return at, ok
}

// text formats an error about a line of a document, with the file and line of its manifest if it has one.
func (p places) text(err *conf.Error, line int) string {
	at, ok := p.of(err.Origin)
	if !ok {
		return err.Error()
	}
	shown := *err
	if at.literal {
		shown.Line = 0 // that of the file is exact
	}
	return fmt.Sprintf("file %s:%d: %v", printable(at.file), at.at(line), &shown)
}

// skippedObject is an object that is not read, in the JSON format of docs/validate.md.
type skippedObject struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Object string `json:"object"`
	Reason string `json:"reason"`
}

func printSkipped(w io.Writer, skipped []skippedObject) {
	for _, s := range skipped {
		fmt.Fprintf(w, "skipped: file %s:%d: %s: %s\n", printable(s.File), s.Line, s.Object, s.Reason)
	}
}

// read reads the documents of a file, each of which is a manifest, a definition or null. It returns the definitions,
// and whether there is a manifest. Without a manifest, it reads nothing.
func (r *configMapReader) read(file string, documents []conf.Document) (definitions []conf.Document, found bool) {
	objects, errs := make([]jsontext.Value, len(documents)), make([]error, len(documents))
	for i, document := range documents {
		objects[i], errs[i] = document.JSON()
		found = found || isManifest(objects[i])
	}
	if !found {
		return documents, false
	}
	for i, document := range documents {
		switch {
		case isManifest(objects[i]):
			r.readManifest(file, document, objects[i], errs[i])
		case objects[i].Kind() != jsontext.KindNull:
			definitions = append(definitions, document)
		}
	}
	return definitions, true
}

// isManifest reports whether a document is a Kubernetes object. A definition has neither kind nor apiVersion.
func isManifest(text jsontext.Value) bool {
	var object struct {
		APIVersion any `json:"apiVersion"`
		Kind       any `json:"kind"`
	}
	return text.Kind() == jsontext.KindBeginObject && jsonv2.Unmarshal(text, &object) == nil &&
		object.APIVersion != nil && object.Kind != nil
}

// readManifest reads a manifest. The error is that of its conversion to JSON, which concerns ConfigMaps only.
func (r *configMapReader) readManifest(file string, document conf.Document, text []byte, err error) {
	m := manifestReader{configMapReader: r, file: file, document: document}
	first := len(r.faults)
	defer func() {
		slices.SortStableFunc(r.faults[first:], func(a, b *conf.Error) int { return cmp.Compare(a.Line, b.Line) })
	}()
	var root yaml.Node
	if yaml.Unmarshal(document.Content, &root) == nil && len(root.Content) == 1 {
		m.visit(text, root.Content[0], new(manifest))
	} else { // only the parser of Kubernetes accepts the document
		m.visit(text, nil, new(manifest))
	}
	if err == nil || !m.hasConfigMap {
		return
	}
	for _, err := range multierror.Append(nil, err).Errors {
		if fault, ok := errors.AsType[*conf.Error](err); ok {
			r.faults = append(r.faults, fault)
		}
	}
}

// manifestReader reads one document. Nodes are nil where positions are not known.
type manifestReader struct {
	*configMapReader
	file         string
	document     conf.Document
	hasConfigMap bool
}

// visit visits an object, or the items of a list. The list contains the object, or is empty.
func (m *manifestReader) visit(text []byte, node *yaml.Node, list *manifest) {
	object, err := newManifest(text, list)
	items, isList := object.items()
	switch {
	case isList:
		nodes := members(node)["items"].value
		for i, item := range items {
			if item.Kind() != jsontext.KindNull {
				m.visit(item, element(nodes, i), object)
			}
		}
	case object.Kind != "" && object.Kind != "ConfigMap" || err == nil && object.APIVersion != "v1":
		m.skip(node, object, "not a ConfigMap")
	case err != nil:
		m.fault(node, err)
	default:
		m.hasConfigMap = true
		m.readConfigMap(text, node, object)
	}
}

func (m *manifestReader) skip(node *yaml.Node, object *manifest, reason string) {
	m.skipped = append(m.skipped, skippedObject{m.file, m.line(node), object.title(), reason})
}

func (m *manifestReader) fault(node *yaml.Node, err error) {
	m.faults = append(m.faults, &conf.Error{Origin: m.document.Origin, Line: m.line(node), Err: err})
}

// line returns the line of a node in the file, or of the document if the node is not known.
func (m *manifestReader) line(node *yaml.Node) int {
	if node == nil {
		return m.document.Line
	}
	return m.document.Line - 1 + node.Line
}

// configMap has the fields of a ConfigMap that are read.
type configMap struct {
	Metadata struct {
		Labels            map[string]string `json:"labels"`
		CreationTimestamp metav1.Time       `json:"creationTimestamp"`
	} `json:"metadata"`
	Data       map[string]jsontext.Value `json:"data"`
	BinaryData map[string][]byte         `json:"binaryData"`
}

// readConfigMap adds the documents of a ConfigMap, without the keys that an API server would reject.
func (m *manifestReader) readConfigMap(text []byte, node *yaml.Node, object *manifest) {
	var c configMap
	if err := jsonv2.Unmarshal(text, &c); err != nil {
		m.fault(node, fmt.Errorf("%s: %w", object.title(), mutate.DecodeError(err, "")))
		return
	}
	whole := &corev1.ConfigMap{BinaryData: c.BinaryData}
	whole.Name = object.Metadata.Name
	whole.Namespace = cmp.Or(object.Metadata.Namespace, m.namespace, metav1.NamespaceDefault)
	whole.CreationTimestamp = c.Metadata.CreationTimestamp
	origin := conf.Origin{Kind: conf.ConfigMap, Root: whole.Namespace + "/" + whole.Name}
	if m.selector != nil && !m.selector.Matches(labels.Set(c.Metadata.Labels)) {
		m.skip(node, object, "not selected by --configmap-labels")
		m.unselected = append(m.unselected, origin.Root)
		return
	}
	if err := m.checkName(whole, origin); err != nil {
		m.fault(node, err)
		return
	}
	m.places[origin] = place{file: m.file, line: m.line(node)}
	parts := members(node)
	whole.Data = m.texts(origin, c.Data, members(parts["data"].value))
	binary := members(parts["binaryData"].value)
	for key := range c.BinaryData {
		m.locate(origin, key, binary)
	}
	m.documents = append(m.documents, conf.OfConfigMap(whole)...)
}

// checkName requires a valid name that no other ConfigMap has.
func (m *manifestReader) checkName(c *corev1.ConfigMap, origin conf.Origin) error {
	if c.Name == "" {
		return errors.New("configmap: metadata.name: Required value")
	}
	problems := validation.IsDNS1123Subdomain(c.Name)
	if problems = append(problems, validation.IsDNS1123Label(c.Namespace)...); len(problems) > 0 {
		return fmt.Errorf("%s: metadata: invalid name or namespace: %s", origin, strings.Join(problems, "; "))
	}
	if other, ok := m.places[origin]; ok {
		return fmt.Errorf("%s is also in %s:%d; keep the manifests of different clusters in different directories",
			origin, printable(other.file), other.line)
	}
	return nil
}

// texts returns the values of data that are strings, and adds a fault for each other key.
func (m *manifestReader) texts(
	origin conf.Origin, data map[string]jsontext.Value, nodes map[string]memberNodes,
) map[string]string {
	texts := make(map[string]string, len(data))
	for _, key := range slices.Sorted(maps.Keys(data)) {
		keyNode := m.locate(origin, key, nodes)
		origin.Name = key
		var text string
		switch err := jsonv2.Unmarshal(data[key], &text); {
		case err != nil:
			m.fault(keyNode, fmt.Errorf("%s: must be a string; a text of several lines begins with | after the colon", origin))
		case len(validation.IsConfigMapKey(key)) > 0:
			m.fault(keyNode, fmt.Errorf("%s: invalid key: %s", origin, strings.Join(validation.IsConfigMapKey(key), "; ")))
		default:
			texts[key] = text // null is an empty text
		}
	}
	return texts
}

// locate records the place of a key, and returns the node of the key.
func (m *manifestReader) locate(origin conf.Origin, key string, nodes map[string]memberNodes) *yaml.Node {
	origin.Name = key
	node := nodes[key]
	p := place{file: m.file, line: m.line(node.key)}
	if node.value != nil && node.value.Style&yaml.LiteralStyle != 0 {
		p.line, p.literal = m.line(node.value), true
	}
	m.places[origin] = p
	return node.key
}

// memberNodes are the nodes of a member of an object.
type memberNodes struct{ key, value *yaml.Node }

// members returns the members of an object by name. The node may be nil.
func members(object *yaml.Node) map[string]memberNodes {
	nodes := make(map[string]memberNodes)
	if object == nil || object.Kind != yaml.MappingNode {
		return nodes
	}
	for i := 0; i+1 < len(object.Content); i += 2 {
		nodes[object.Content[i].Value] = memberNodes{object.Content[i], dealiased(object.Content[i+1])}
	}
	return nodes
}

// element returns the node of an element of a list, or nil if the list does not have it.
func element(list *yaml.Node, i int) *yaml.Node {
	if list == nil || list.Kind != yaml.SequenceNode || i >= len(list.Content) {
		return nil
	}
	return dealiased(list.Content[i])
}

func dealiased(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}
