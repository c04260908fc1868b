package cli

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"k8s-sidecar-injector/mutate"
)

// manifest contains the fields of an object that are needed to find and name its pod.
type manifest struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name         string `json:"name"`
		GenerateName string `json:"generateName"`
		Namespace    string `json:"namespace"`
	} `json:"metadata"`
	Items jsontext.Value `json:"items"`
}

// podTemplate is the pod of an object. For a Pod, it is the object itself.
type podTemplate struct {
	*manifest
	object  jsontext.Value
	path    string         // JSON pointer from the object, empty for a Pod
	pointer string         // JSON pointer from the root of the document
	pod     jsontext.Value // nil if the kind has no known pod template
}

// visitPods calls visit for the object, or for each item of a list. Null is ignored. The error aggregates those of
// all items.
func visitPods(object jsontext.Value, visit func(podTemplate) error) error {
	if object.Kind() == jsontext.KindNull {
		return nil
	}
	return visitObject(object, "", new(manifest), visit)
}

// visitObject visits an object at a JSON pointer in a document. The list contains the object, or is empty.
func visitObject(object []byte, pointer string, list *manifest, visit func(podTemplate) error) error {
	m, err := newManifest(object, list)
	if items, ok := m.items(); ok && err == nil {
		return visitItems(items, pointer, m, visit)
	}
	t := podTemplate{manifest: m, object: object}
	if path, found := mutate.TemplatePath(m.APIVersion, m.Kind); found && err == nil {
		t.path, t.pointer = path, pointer+path
		t.pod, err = lookup(object, path)
	}
	if err == nil {
		err = visit(t)
	}
	if title := m.title(); err != nil && title != "" {
		return fmt.Errorf("%s: %w", title, err)
	}
	return err
}

// visitItems visits the items of a list that are not null.
func visitItems(items []jsontext.Value, pointer string, list *manifest, visit func(podTemplate) error) error {
	var errs []error
	for n, item := range items {
		if item.Kind() == jsontext.KindNull {
			continue
		}
		if err := visitObject(item, fmt.Sprintf("%s/items/%d", pointer, n), list, visit); err != nil {
			errs = append(errs, fmt.Errorf("items[%d]: %w", n, err))
		}
	}
	return aggregate(errs...)
}

// newManifest decodes an object. The items of a typed list, such as a DeploymentList, may omit their kind. With an
// error, the fields that could be decoded are set.
func newManifest(object []byte, list *manifest) (*manifest, error) {
	m := new(manifest)
	err := jsonv2.Unmarshal(object, m)
	if err == nil && list.Kind != "List" {
		m.Kind = cmp.Or(m.Kind, strings.TrimSuffix(list.Kind, "List"))
		m.APIVersion = cmp.Or(m.APIVersion, list.APIVersion)
	}
	switch {
	case err != nil:
		err = fmt.Errorf("not a Kubernetes object: %w", mutate.DecodeError(err, ""))
	case m.Kind == "" || m.APIVersion == "":
		err = errors.New("not a Kubernetes object: kind or apiVersion is missing")
	}
	return m, err
}

// items returns the items of a list. An object is a list if its kind ends in List and it has items, unless they are
// values such as strings: then it is a custom resource.
func (m *manifest) items() (items []jsontext.Value, isList bool) {
	if !strings.HasSuffix(m.Kind, "List") || m.Items == nil || jsonv2.Unmarshal(m.Items, &items) != nil {
		return nil, false
	}
	isObject := func(item jsontext.Value) bool { return item.Kind() == jsontext.KindBeginObject }
	isValue := func(item jsontext.Value) bool { return !isObject(item) && item.Kind() != jsontext.KindNull }
	return items, slices.ContainsFunc(items, isObject) || !slices.ContainsFunc(items, isValue)
}

// title returns the name in the notation of kubectl, such as deployment/web. The kind or the name may be missing.
func (m *manifest) title() string {
	return printable(strings.Trim(strings.ToLower(m.Kind)+"/"+m.name(), "/"))
}

// name returns the name, or the prefix of a generated name with a `*`.
func (m *manifest) name() string {
	if m.Metadata.Name == "" && m.Metadata.GenerateName != "" {
		return m.Metadata.GenerateName + "*"
	}
	return m.Metadata.Name
}

// lookup returns the value at a JSON pointer without escapes.
func lookup(object []byte, pointer string) ([]byte, error) {
	value, parent := object, ""
	for _, name := range strings.Split(pointer, "/")[1:] {
		var members map[string]jsontext.Value
		if err := jsonv2.Unmarshal(value, &members); err != nil {
			return nil, fmt.Errorf("it has no %s: %w", fieldPath(pointer), mutate.DecodeError(err, parent))
		}
		parent += "/" + name
		if value = members[name]; value == nil {
			return nil, fmt.Errorf("it has no %s", fieldPath(pointer))
		}
	}
	return value, nil
}

// fieldPath converts a JSON pointer to the notation of kubectl explain.
func fieldPath(pointer string) string {
	return strings.ReplaceAll(strings.TrimPrefix(pointer, "/"), "/", ".")
}

// printable quotes text with characters that are not printable, such as terminal escape sequences.
func printable(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) {
		return strconv.Quote(text)
	}
	return text
}
