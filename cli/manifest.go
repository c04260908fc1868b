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

// manifest is what is read of an object to find its pod.
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

// kindOfItem is what an object in a list is where it does not say so itself.
type kindOfItem struct {
	apiVersion, kind string
}

func newManifest(object []byte, item kindOfItem) (*manifest, error) {
	m := new(manifest)
	if err := jsonv2.Unmarshal(object, m); err != nil {
		return nil, fmt.Errorf("%snot a Kubernetes object: %w", prefixed(m), mutate.DecodeError(err, ""))
	}
	m.Kind, m.APIVersion = cmp.Or(m.Kind, item.kind), cmp.Or(m.APIVersion, item.apiVersion)
	if m.Kind == "" || m.APIVersion == "" {
		return nil, fmt.Errorf("%snot a Kubernetes object: kind or apiVersion is missing", prefixed(m))
	}
	return m, nil
}

// list gives the items of a list. An object that only has such a name, or has items that are
// none, is no list.
func (m *manifest) list() ([]jsontext.Value, bool) {
	var items []jsontext.Value
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

// item is what the API server leaves out in the items of a list of one kind. A plain List has
// items of any kind.
func (m *manifest) item() kindOfItem {
	if m.Kind == "List" {
		return kindOfItem{}
	}
	return kindOfItem{apiVersion: m.APIVersion, kind: strings.TrimSuffix(m.Kind, "List")}
}

// title names an object as kubectl does, deployment/web, or by as much of that as it has.
func title(m *manifest) string {
	return printable(strings.Trim(strings.ToLower(m.Kind)+"/"+m.name(), "/"))
}

// name is that of the object or, while the API server has not made one yet, the prefix of it
// followed by `*`.
func (m *manifest) name() string {
	if m.Metadata.Name == "" && m.Metadata.GenerateName != "" {
		return m.Metadata.GenerateName + "*"
	}
	return m.Metadata.Name
}

// printable quotes text that would do something else to a terminal, or a table, than to be seen.
func printable(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) {
		return strconv.Quote(text)
	}
	return text
}

// prefixed is the title for an error about an object, as far as it could be read.
func prefixed(m *manifest) string {
	if name := title(m); name != "" {
		return name + ": "
	}
	return ""
}
