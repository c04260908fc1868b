package cli

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
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
		return nil, fmt.Errorf("%snot a Kubernetes object: %w", prefixed(m), explained(err, ""))
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
	kind, name := strings.ToLower(m.Kind), m.Metadata.Name
	if name == "" && m.Metadata.GenerateName != "" {
		name = m.Metadata.GenerateName + "*"
	}
	return strings.Trim(kind+"/"+name, "/")
}

// prefixed is the title for an error about an object, as far as it could be read.
func prefixed(m *manifest) string {
	if name := title(m); name != "" {
		return name + ": "
	}
	return ""
}

// explained puts the decoder's error in the words of the author: where in the object it is, and
// what stands there, without our Go types.
func explained(err error, path string) error {
	wrong, ok := errors.AsType[*jsonv2.SemanticError](err)
	if !ok {
		return errors.New(strings.TrimPrefix(err.Error(), "jsontext: "))
	}
	what := wrong.Err
	if what == nil {
		what = fmt.Errorf("unexpected %s", kindOf(wrong.JSONKind))
	}
	if pointer := path + string(wrong.JSONPointer); pointer != "" {
		return fmt.Errorf("%q: %w", pointer, what)
	}
	return what
}

// kindOf is the name that JSON has for a kind of value.
func kindOf(kind jsontext.Kind) string {
	names := map[jsontext.Kind]string{
		jsontext.KindBeginObject: "object", jsontext.KindBeginArray: "array",
		jsontext.KindTrue: "boolean", jsontext.KindFalse: "boolean",
	}
	return cmp.Or(names[kind], kind.String())
}
