package server

import (
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s-sidecar-injector/mutate"
)

// configMapReview is the AdmissionRequest for a change of a ConfigMap.
type configMapReview struct {
	apiVersion string

	UID       string          `json:"uid"`
	Resource  mutate.Resource `json:"resource"`
	Name      string          `json:"name"`
	Namespace string          `json:"namespace"`
	Operation string          `json:"operation"`
	User      struct {
		Name string `json:"username"`
	} `json:"userInfo"`
	Object    jsontext.Value `json:"object"`
	OldObject jsontext.Value `json:"oldObject"`

	// object and old are nil if they are absent or not ConfigMaps.
	object, old *corev1.ConfigMap
}

// decodeConfigMapReview decodes a review. If it returns an error, the review is nil or has its version
// and uid, so that it can be answered.
func decodeConfigMapReview(body []byte, selects func(*corev1.ConfigMap) bool) (*configMapReview, error) {
	var r struct {
		Kind       string           `json:"kind"`
		APIVersion string           `json:"apiVersion"`
		Request    *configMapReview `json:"request"`
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fmt.Errorf("the body is not an AdmissionReview: %w", mutate.DecodeError(err, ""))
	}
	if err := checkKind(r.Kind, r.APIVersion); err != nil {
		return nil, err
	}
	if r.Request == nil {
		return nil, errNoRequest
	}
	if err := checkUID(r.Request.UID); err != nil {
		return nil, err
	}
	r.Request.apiVersion = r.APIVersion
	return r.Request, r.Request.decode(selects)
}

// decode decodes the metadata of both objects, and the data of the new one if it is selected.
func (c *configMapReview) decode(selects func(*corev1.ConfigMap) bool) (err error) {
	object, old := c.Object, c.OldObject
	c.Object, c.OldObject = nil, nil
	if c.Resource != (mutate.Resource{Version: "v1", Resource: "configmaps"}) {
		return nil
	}
	if c.old, err = decodeMetadata(old, c.Namespace); err != nil {
		return fmt.Errorf("request.oldObject: %w", err)
	}
	if c.object, err = decodeMetadata(object, c.Namespace); err != nil {
		return fmt.Errorf("request.object: %w", err)
	}
	if c.object == nil {
		return nil
	}
	c.object.CreationTimestamp = c.creationTimestamp()
	if selects(c.object) {
		if err = decodeData(object, c.object); err != nil {
			return fmt.Errorf("request.object: %w", err)
		}
	}
	return nil
}

// keyCost is the cost of a label or a key of data without its bytes.
const keyCost = 64

// size returns approximately the bytes of the decoded review.
func (c *configMapReview) size() int64 {
	size := len(c.apiVersion) + len(c.UID) + len(c.Name) + len(c.Namespace) + len(c.Operation) + len(c.User.Name)
	for _, object := range []*corev1.ConfigMap{c.object, c.old} {
		if object != nil {
			size += len(object.Name) + mapSize(object.Labels) + mapSize(object.Data) + mapSize(object.BinaryData)
		}
	}
	return int64(size)
}

func mapSize[V string | []byte](values map[string]V) (size int) {
	for key, value := range values {
		size += keyCost + len(key) + len(value)
	}
	return size
}

// creationTimestamp returns the creationTimestamp that decides who owns a ref. The API server sets it in
// new ConfigMaps before the review. It is ignored: a new ConfigMap is younger than any other of the same
// second.
func (c *configMapReview) creationTimestamp() metav1.Time {
	if c.old == nil {
		return metav1.Time{}
	}
	return c.old.CreationTimestamp
}

// name returns the name of the ConfigMap.
func (c *configMapReview) name() string {
	if c.object != nil {
		return c.object.Name
	}
	return c.Name
}

// dropObjects drops the objects and keeps the name for the log.
func (c *configMapReview) dropObjects() {
	c.Name = c.name()
	c.object, c.old = nil, nil
}
