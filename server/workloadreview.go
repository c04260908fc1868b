package server

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"k8s-sidecar-injector/mutate"
)

// maxTemplate is the size of the largest pod template that is reviewed, in bytes. A decoded template may take 25 times
// as much memory as its bytes.
const maxTemplate = 256 << 10

// workloadReview is the AdmissionRequest for a change of an object with a pod template.
type workloadReview struct {
	apiVersion string

	UID  string `json:"uid"`
	Kind struct {
		Kind string `json:"kind"`
	} `json:"kind"`
	SubResource string `json:"subResource"`
	Name        string `json:"name"`
	Namespace   string `json:"namespace"`
	Operation   string `json:"operation"`
	User        struct {
		Name string `json:"username"`
	} `json:"userInfo"`
	Object    jsontext.Value `json:"object"`
	OldObject jsontext.Value `json:"oldObject"`
}

// decodeWorkloadReview decodes a review, but not its objects.
func decodeWorkloadReview(body []byte) (*workloadReview, error) {
	r, err := decodeReviewOf[workloadReview](body)
	if err == nil {
		err = checkReview(r.Kind, r.APIVersion, r.Request.UID)
	}
	r.Request.apiVersion = r.APIVersion
	return &r.Request, err
}

// decodeChange returns the workload whose pods the change affects, and a request to create one of them. Both are nil
// if the change affects no pods. The request is nil if there is no annotation of the injector. The workload is nil if
// it cannot be decoded.
func (c *workloadReview) decodeChange(policy *mutate.Policy) (*mutate.Workload, *mutate.Request, error) {
	if c.SubResource != "" || c.Operation != "CREATE" && c.Operation != "UPDATE" {
		return nil, nil, nil
	}
	workload, old := new(mutate.Workload), new(mutate.Workload)
	if err := decodeView(c.Object, workload); err != nil {
		return nil, nil, fmt.Errorf("request.object: %w", err)
	}
	if err := checkWorkload(workload); err != nil {
		return nil, nil, fmt.Errorf("request.object: %w", err)
	}
	if c.Operation == "UPDATE" {
		if err := decodeView(c.OldObject, old); err != nil {
			return nil, nil, fmt.Errorf("request.oldObject: %w", err)
		}
		if workload.SamePods(policy, old) {
			return nil, nil, nil
		}
	}
	request, err := workload.NewTemplateCreate(policy, c.Namespace)
	if err != nil {
		path, _ := mutate.TemplatePath(workload.APIVersion, workload.Kind)
		err = mutate.DecodeError(err, path)
	}
	return workload, request, err
}

// checkWorkload limits the memory of the pod.
func checkWorkload(w *mutate.Workload) error {
	switch size := len(w.Template()); {
	case size == 0:
		return errors.New("no known pod template")
	case size > maxTemplate:
		return fmt.Errorf("the pod template is larger than %d bytes", maxTemplate)
	case max(len(w.Metadata.Name), len(w.Metadata.GenerateName)) > maxName:
		return fmt.Errorf("the name is longer than %d bytes", maxName)
	}
	return nil
}
