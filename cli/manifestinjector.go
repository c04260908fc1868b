package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	jsonv2 "github.com/go-json-experiment/json"
	"github.com/hashicorp/go-multierror"
	corev1 "k8s.io/api/core/v1"
	kjson "k8s.io/apimachinery/pkg/util/json"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/conf/podrules"
	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/store"
)

// manifestInjector decides about manifests as the webhook and the API server decide about pods: package mutate makes
// the patch, and the library of the API server applies it.
type manifestInjector struct {
	snapshot   *store.Snapshot
	policy     *mutate.Policy
	namespaces namespaceDefaults // nil if disabled
	namespace  string            // of manifests that have none
	report     io.Writer
}

// namespaceDefaults returns the requests of namespaces.
type namespaceDefaults interface {
	Default(ctx context.Context, namespace string) (value string, found bool, err error)
}

// podResult is the decision about the pod of a manifest.
type podResult struct {
	podTemplate
	workload  *mutate.Workload
	namespace string
	decision  mutate.Decision
	elements  []mutate.ElementResult
	message   string
	standIns  []string // names in the patch, such as <hash>
	injected  []byte   // pod with the sidecars; nil unless they are injected
	faults    []fault  // that the injected pod has, and the pod as received has not
}

// fault is an error of a field that the API server would report.
type fault struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

func (f fault) String() string { return printable(f.Field + ": " + f.Message) }

// visit calls the function with the result for each pod of a document, and returns the document as JSON. It reports
// objects without pods. Each error begins with the file and line of the document.
func (i *manifestInjector) visit(
	ctx context.Context, document conf.Document, visit func(*podResult) error,
) ([]byte, error) {
	object, err := document.JSON()
	if err != nil {
		return nil, err
	}
	err = visitPods(object, func(t podTemplate) error {
		if t.pod == nil {
			i.reportResult(t.manifest, "unchanged: no known pod template")
			return nil
		}
		result, err := i.decide(ctx, t)
		if err != nil {
			return err
		}
		return visit(result)
	})
	if err != nil {
		return nil, multierror.Prefix(err, fmt.Sprintf("%s:%d:", document.Origin.Name, document.Line))
	}
	return object, nil
}

// decide decides about the creation of a pod, with what the controller of a template adds. A failed lookup of its
// namespace is an error, because the webhook may succeed.
func (i *manifestInjector) decide(ctx context.Context, t podTemplate) (*podResult, error) {
	r := &podResult{podTemplate: t, namespace: cmp.Or(t.Metadata.Namespace, i.namespace)}
	if err := jsonv2.Unmarshal(t.pod, new(mutate.Object)); err != nil {
		return nil, fmt.Errorf("not a valid pod: %w", mutate.DecodeError(err, t.path))
	}
	var err error
	if r.workload, err = t.decodeWorkload(); err != nil {
		return nil, err
	}
	standIns := new(mutate.StandIns)
	pod, err := r.expectedPod(standIns)
	if err != nil {
		return nil, err
	}
	request, err := mutate.NewPodCreate(r.namespace, pod)
	if err != nil {
		return nil, err
	}
	var lookupErr error
	if i.namespaces != nil {
		request.NamespaceDefault = func() (value string, found bool, err error) {
			value, found, lookupErr = i.namespaces.Default(ctx, r.namespace)
			return value, found, lookupErr
		}
	}
	r.decision, r.elements = mutate.Explain(i.snapshot, i.policy, request)
	if lookupErr != nil {
		return nil, fmt.Errorf("--namespace-defaults: %w", lookupErr)
	}
	r.message = r.decision.Message()
	switch r.decision.Reason { //nolint:exhaustive // the others need no more
	case mutate.ReasonCompleted:
		r.message = "the pod was injected before; containers that were added since get variables and mounts"
	case mutate.ReasonNoAnnotation:
		r.message = strings.Join(r.workload.Misplaced(i.policy, &request.Object), "; ")
	}
	if r.decision.Patch == nil {
		return r, nil
	}
	injected, err := applyPatch(pod, r.decision.Patch)
	if err != nil {
		return nil, err
	}
	r.findFaults(pod, injected)
	if t.path != "" {
		err = i.showStandIns(r, standIns)
	}
	if err == nil {
		r.injected, err = applyPatch(t.pod, r.decision.Patch)
	}
	return r, err
}

// findFaults finds nothing if one of the pods cannot be decoded.
func (r *podResult) findFaults(pod, injected []byte) {
	var before, after corev1.Pod
	if kjson.Unmarshal(pod, &before) != nil || kjson.Unmarshal(injected, &after) != nil {
		return
	}
	for _, err := range podrules.Introduced(&before, &after) {
		field := strings.TrimPrefix(fieldPath(r.path)+"."+err.Field, ".")
		r.faults = append(r.faults, fault{Field: field, Message: err.ErrorBody()})
	}
}

// String returns the outcome, the reason unless it is the same word, the sidecars and the message.
func (r *podResult) String() string {
	parts := []string{string(r.decision.Outcome)}
	if r.decision.Reason != mutate.ReasonInjected {
		parts[0] += ", " + string(r.decision.Reason)
	}
	for _, detail := range []string{mutate.Injections(r.decision.Sidecars), r.message} {
		if detail != "" {
			parts = append(parts, detail)
		}
	}
	return strings.Join(parts, ": ")
}

func (i *manifestInjector) reportResult(m *manifest, result string) {
	fmt.Fprintf(i.report, "%s: %s\n", m.title(), result)
}

// applyPatch applies a patch of a pod to the pod, or to the template of the pod, which may lack what the controller
// adds.
func applyPatch(object, patch []byte) ([]byte, error) {
	decoded, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		return nil, err
	}
	options := jsonpatch.NewApplyOptions()
	options.EnsurePathExistsOnAdd, options.AllowMissingPathOnRemove = true, true
	return decoded.ApplyWithOptions(object, options)
}

func replaceOperation(path string, value []byte) jsonpatch.Operation {
	op, pointer := json.RawMessage(`"replace"`), json.RawMessage(`"`+path+`"`)
	raw := json.RawMessage(value)
	return jsonpatch.Operation{"op": &op, "path": &pointer, "value": &raw}
}
