package server

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s-sidecar-injector/mutate"
)

// maxKeys is the limit of labels and of keys of data. A key takes up to fifteen times as many bytes in a map
// as in a review.
const maxKeys = 10_000

// metadataView is the metadata that Definitions and messages use. The decoder skips all other metadata
// without allocating.
type metadataView struct {
	Metadata struct {
		Name              string             `json:"name"`
		GenerateName      string             `json:"generateName"`
		Labels            boundedMap[string] `json:"labels"`
		CreationTimestamp string             `json:"creationTimestamp"`
	} `json:"metadata"`
}

// dataView is the content of a ConfigMap.
type dataView struct {
	Data       boundedMap[string] `json:"data"`
	BinaryData boundedMap[[]byte] `json:"binaryData"`
}

// boundedMap is a map of at most maxKeys.
type boundedMap[V string | []byte] map[string]V

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (m *boundedMap[V]) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	*m = nil
	if decoder.PeekKind() != jsontext.KindBeginObject {
		return json.UnmarshalDecode(decoder, (*map[string]V)(m)) // null, or an error
	}
	if _, err := decoder.ReadToken(); err != nil {
		return err
	}
	values := make(map[string]V)
	for decoder.PeekKind() == jsontext.KindString {
		if len(values) == maxKeys {
			return fmt.Errorf("more than %d keys", maxKeys)
		}
		var key string
		var value V
		if err := json.UnmarshalDecode(decoder, &key); err != nil {
			return err
		}
		if err := json.UnmarshalDecode(decoder, &value); err != nil {
			return err
		}
		values[key] = value
	}
	*m = values
	_, err := decoder.ReadToken()
	return err
}

// decodeMetadata decodes the metadata of a ConfigMap in the namespace. It returns nil if the object is
// absent or null.
func decodeMetadata(object jsontext.Value, namespace string) (*corev1.ConfigMap, error) {
	if len(object) == 0 || object.Kind() == jsontext.KindNull {
		return nil, nil //nolint:nilnil // there is none
	}
	var view metadataView
	if err := decodeView(object, &view); err != nil {
		return nil, err
	}
	metadata := view.Metadata
	decoded := new(corev1.ConfigMap)
	decoded.Namespace, decoded.Labels = namespace, metadata.Labels
	decoded.Name = metadata.Name
	if decoded.Name == "" {
		decoded.Name = metadata.GenerateName + "*" // the API server appends the rest later
	}
	if metadata.CreationTimestamp != "" {
		created, err := time.Parse(time.RFC3339, metadata.CreationTimestamp)
		if err != nil {
			return nil, errors.New("not a ConfigMap: metadata.creationTimestamp is not a time")
		}
		decoded.CreationTimestamp = metav1.NewTime(created)
	}
	return decoded, nil
}

// decodeData decodes the content of a ConfigMap.
func decodeData(object jsontext.Value, into *corev1.ConfigMap) error {
	var view dataView
	if err := decodeView(object, &view); err != nil {
		return err
	}
	into.Data, into.BinaryData = view.Data, view.BinaryData
	return nil
}

// decodeView decodes part of an object. Duplicate names were rejected when the review was decoded.
func decodeView(object jsontext.Value, view any) error {
	if err := json.Unmarshal(object, view, jsontext.AllowDuplicateNames(true)); err != nil {
		return fmt.Errorf("not a ConfigMap: %w", mutate.DecodeError(err, ""))
	}
	return nil
}
