package server

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
)

// configMapReview is the AdmissionRequest for a change of a ConfigMap.
type configMapReview struct {
	apiVersion string

	UID       string          `json:"uid"`
	Resource  mutate.Resource `json:"resource"`
	Name      string          `json:"name"` // after decode: that of the object, if it has one
	Namespace string          `json:"namespace"`
	Operation string          `json:"operation"`
	User      struct {
		Name string `json:"username"`
	} `json:"userInfo"`
	Object    jsontext.Value `json:"object"`
	OldObject jsontext.Value `json:"oldObject"`

	selected  bool            // whether the ConfigMap belongs to the source before or after the change
	documents []conf.Document // of the ConfigMap after the change
}

// metadataView is the metadata that Definitions and messages need. The decoder skips all other metadata
// without allocating.
type metadataView struct {
	Metadata struct {
		Name              string     `json:"name"`
		GenerateName      string     `json:"generateName"`
		Labels            mutate.Map `json:"labels"`
		CreationTimestamp string     `json:"creationTimestamp"`
	} `json:"metadata"`
}

// dataView is the content of a ConfigMap. mutate.Map limits the number of keys, because a key takes up to fifteen
// times as many bytes in a map as in a review.
type dataView struct {
	Data       mutate.Map `json:"data"`
	BinaryData mutate.Map `json:"binaryData"`
}

// decodeConfigMapReview decodes a review. If it returns an error, the review is nil or has its version
// and uid, so that it can be answered.
func decodeConfigMapReview(body []byte, selects func(*corev1.ConfigMap) bool) (*configMapReview, error) {
	r, err := decodeReviewOf[configMapReview](body)
	if err == nil {
		err = checkReview(r.Kind, r.APIVersion, r.Request.UID)
	}
	if err != nil {
		return nil, err
	}
	r.Request.apiVersion = r.APIVersion
	return &r.Request, r.Request.decode(selects)
}

// decode decodes the metadata of both objects, and the documents of the new one if it is selected.
func (c *configMapReview) decode(selects func(*corev1.ConfigMap) bool) error {
	object, oldObject := c.Object, c.OldObject
	c.Object, c.OldObject = nil, nil
	if c.Resource != (mutate.Resource{Version: "v1", Resource: "configmaps"}) {
		return nil
	}
	before, err := decodeMetadata(oldObject, c.Namespace)
	if err != nil {
		return fmt.Errorf("request.oldObject: not a ConfigMap: %w", err)
	}
	after, err := decodeMetadata(object, c.Namespace)
	if err != nil {
		return fmt.Errorf("request.object: not a ConfigMap: %w", err)
	}
	c.Name = cmp.Or(after.Name, c.Name)
	c.selected = selects(before) || selects(after)
	if !selects(after) {
		return nil
	}
	if err := decodeData(object, after); err != nil {
		return fmt.Errorf("request.object: not a ConfigMap: %w", err)
	}
	// The oldest ConfigMap owns a ref. The API server sets the time of a new one before the review, in seconds.
	// The zero time makes it younger than all others, even those of the same second.
	after.CreationTimestamp = before.CreationTimestamp
	c.documents = conf.OfConfigMap(after)
	return nil
}

// decodeMetadata decodes the metadata of a ConfigMap in the namespace. If the object is absent or null, the
// ConfigMap is empty and in no namespace, so it is not selected.
func decodeMetadata(object jsontext.Value, namespace string) (*corev1.ConfigMap, error) {
	decoded := new(corev1.ConfigMap)
	if len(object) == 0 || object.Kind() == jsontext.KindNull {
		return decoded, nil
	}
	var view metadataView
	if err := decodeView(object, &view); err != nil {
		return nil, err
	}
	metadata := view.Metadata
	decoded.Namespace, decoded.Labels = namespace, metadata.Labels
	decoded.Name = cmp.Or(metadata.Name, metadata.GenerateName+"*") // the API server appends the rest later
	if metadata.CreationTimestamp != "" {
		created, err := time.Parse(time.RFC3339, metadata.CreationTimestamp)
		if err != nil {
			return nil, errors.New("metadata.creationTimestamp is not a time")
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
	into.Data, into.BinaryData = view.Data, make(map[string][]byte, len(view.BinaryData))
	for key, text := range view.BinaryData {
		value, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return errors.New("binaryData is not base64")
		}
		into.BinaryData[key] = value
	}
	return nil
}

// decodeView decodes part of an object. Duplicate names were rejected when the review was decoded.
func decodeView(object jsontext.Value, view any) error {
	if err := json.Unmarshal(object, view, jsontext.AllowDuplicateNames(true)); err != nil {
		return mutate.DecodeError(err, "")
	}
	return nil
}

// documentCost is the memory of a document without its content, in bytes.
const documentCost = 256

// size returns the approximate memory of the decoded review, in bytes.
func (c *configMapReview) size() int64 {
	size := len(c.UID) + len(c.Name) + len(c.Namespace) + len(c.Operation) + len(c.User.Name)
	for i := range c.documents {
		size += documentCost + len(c.documents[i].Content)
	}
	return int64(size)
}
