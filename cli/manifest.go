package cli

import (
	"cmp"
	"fmt"
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
		Name         string         `json:"name"`
		GenerateName string         `json:"generateName"`
		Namespace    string         `json:"namespace"`
		Annotations  map[string]any `json:"annotations"`
	} `json:"metadata"`
	Items jsontext.Value `json:"items"`
}

// itemKind is the default kind of an object in a list.
type itemKind struct {
	apiVersion, kind string
}

// newManifest decodes an object. Its errors begin with the name of the object if that could be decoded.
func newManifest(object []byte, item itemKind) (*manifest, error) {
	m := new(manifest)
	if err := jsonv2.Unmarshal(object, m); err != nil {
		return nil, fmt.Errorf("%snot a Kubernetes object: %w", m.errorPrefix(), mutate.DecodeError(err, ""))
	}
	m.Kind, m.APIVersion = cmp.Or(m.Kind, item.kind), cmp.Or(m.APIVersion, item.apiVersion)
	if m.Kind == "" || m.APIVersion == "" {
		return nil, fmt.Errorf("%snot a Kubernetes object: kind or apiVersion is missing", m.errorPrefix())
	}
	return m, nil
}

// items returns the items of a list. An object is a list if its kind ends in List and its items are objects.
func (m *manifest) items() (items []jsontext.Value, isList bool) {
	if !strings.HasSuffix(m.Kind, "List") || jsonv2.Unmarshal(m.Items, &items) != nil || items == nil {
		return nil, false
	}
	for _, item := range items {
		if item.Kind() != jsontext.KindBeginObject {
			return nil, false
		}
	}
	return items, true
}

// itemKind returns the kind that the API server omits in the items of a list, such as Deployment in a DeploymentList.
// The items of a List have their own kinds.
func (m *manifest) itemKind() itemKind {
	if m.Kind == "List" {
		return itemKind{}
	}
	return itemKind{apiVersion: m.APIVersion, kind: strings.TrimSuffix(m.Kind, "List")}
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

func (m *manifest) errorPrefix() string {
	if title := m.title(); title != "" {
		return title + ": "
	}
	return ""
}

// printable quotes text with characters that are not printable, such as terminal escape sequences.
func printable(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) {
		return strconv.Quote(text)
	}
	return text
}
