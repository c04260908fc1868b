package conf

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"k8s-sidecar-injector/conf/params"
)

// definitionOf returns the definition in a document that Kubernetes' parser has converted to that JSON.
func definitionOf(lines outline, text []byte) (any, error) {
	root := lines.root
	if root == nil { // only the parser of Kubernetes accepts the document
		var top yaml.Node
		if yaml.Unmarshal(text, &top) != nil {
			return decodeJSON(text)
		}
		root = top.Content[0]
	}
	return nodeValue(reflect.TypeFor[definition](), root), nil
}

// nodeValue returns the decoded JSON of a node. The type is nil if it is not known. Aliases and merge keys are expanded
// as in the parser of Kubernetes, but scalars without quotes keep their text where a string is wanted: `1.10` is not
// 1.1, and `yes` is not true.
func nodeValue(want reflect.Type, node *yaml.Node) any {
	for want != nil && want.Kind() == reflect.Pointer {
		want = want.Elem()
	}
	switch node = resolved(node); node.Kind { //nolint:exhaustive // the parser returns no others
	case yaml.MappingNode:
		return nodeObject(want, node)
	case yaml.SequenceNode:
		list := make([]any, len(node.Content))
		for i, element := range node.Content {
			list[i] = nodeValue(elementType(want), element)
		}
		return list
	}
	if want != nil && want.Kind() == reflect.String && node.Tag != nullTag {
		return textOfNode(node)
	}
	return scalar(node)
}

func nodeObject(want reflect.Type, node *yaml.Node) tree {
	nodes := make(map[string]*yaml.Node, len(node.Content)/2)
	addMembers(nodes, node)
	object := make(tree, len(nodes))
	for key, member := range nodes {
		object[key] = nodeValue(memberType(want, key, nodes), member)
	}
	return object
}

// addMembers adds the members of an object. As in the parser of Kubernetes, the last of several members with the same
// key wins, even over a merge key before it.
func addMembers(nodes map[string]*yaml.Node, node *yaml.Node) {
	switch node = resolved(node); node.Kind { //nolint:exhaustive // scalars have no members
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Tag == mergeTag {
				addMembers(nodes, node.Content[i+1])
				continue
			}
			nodes[textOfNode(resolved(node.Content[i]))] = node.Content[i+1]
		}
	case yaml.SequenceNode: // of a merge key
		for _, merged := range slices.Backward(node.Content) {
			addMembers(nodes, merged)
		}
	}
}

// memberType returns the type of a member, or nil if it is not known. The values of a parameter are strings if its
// type is string.
func memberType(want reflect.Type, key string, members map[string]*yaml.Node) reflect.Type {
	switch {
	case want == nil:
		return nil
	case want.Kind() == reflect.Map:
		return want.Elem()
	case want.Kind() != reflect.Struct:
		return nil
	}
	if want == reflect.TypeFor[params.Parameter]() && (key == "default" || key == "enum") {
		kind := members["type"]
		if kind == nil || resolved(kind).Tag == nullTag || resolved(kind).Value == string(params.String) {
			return map[string]reflect.Type{"default": reflect.TypeFor[string](), "enum": reflect.TypeFor[[]string]()}[key]
		}
	}
	return fieldsOfStruct(want)[key]
}

// elementType returns the type of the elements of a list, or nil if it is not known.
func elementType(list reflect.Type) reflect.Type {
	if list == nil || list.Kind() != reflect.Slice {
		return nil
	}
	return list.Elem()
}

const (
	nullTag   = "!!null"
	mergeTag  = "!!merge"
	stringTag = "!!str"
)

// textOfNode returns the text of a scalar as written, without quotes.
func textOfNode(node *yaml.Node) string {
	var text string
	if node.Tag == "!!binary" && node.Decode(&text) == nil {
		return text
	}
	return node.Value
}

// scalar returns a string, number, boolean or nil as the parser of Kubernetes does.
func scalar(node *yaml.Node) any {
	if yes, ok := oldBoolean(node); ok {
		return yes
	}
	var value any
	if node.Tag == stringTag || node.Tag == mergeTag || node.Decode(&value) != nil {
		return node.Value
	}
	switch value := value.(type) {
	case nil, bool:
		return value
	case int, int64, uint64, float64:
		text, err := json.Marshal(value)
		if err == nil {
			return json.Number(text)
		}
	}
	return textOfNode(node) // also of a time
}

// oldBoolean returns the value of a word that is a boolean in YAML 1.1 only, such as yes.
func oldBoolean(node *yaml.Node) (yes, ok bool) {
	if node.Tag != stringTag || node.Style != 0 {
		return false, false
	}
	lower, upper := strings.ToLower(node.Value), strings.ToUpper(node.Value)
	if node.Value != lower && node.Value != upper && node.Value != upper[:1]+lower[1:] {
		return false, false
	}
	switch lower {
	case "y", "yes", "on":
		return true, true
	case "n", "no", "off":
		return false, true
	}
	return false, false
}
