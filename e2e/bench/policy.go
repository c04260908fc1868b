package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// newPolicy returns a MutatingAdmissionPolicy that applies a JSON Patch to the pods of a namespace that request
// sidecars, and its binding.
func newPolicy(namespace string, patch []byte) (
	*admissionregistrationv1.MutatingAdmissionPolicy, *admissionregistrationv1.MutatingAdmissionPolicyBinding, error,
) {
	expression, err := celPatch(patch)
	if err != nil {
		return nil, nil, err
	}
	meta := metav1.ObjectMeta{Name: namespace}
	policy := &admissionregistrationv1.MutatingAdmissionPolicy{
		ObjectMeta: meta,
		Spec: admissionregistrationv1.MutatingAdmissionPolicySpec{
			MatchConstraints: &admissionregistrationv1.MatchResources{
				NamespaceSelector: inNamespace(namespace),
				ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{
					RuleWithOperations: podCreations(),
				}},
			},
			MatchConditions: requested(),
			Mutations: []admissionregistrationv1.Mutation{{
				PatchType: admissionregistrationv1.PatchTypeJSONPatch,
				JSONPatch: &admissionregistrationv1.JSONPatch{Expression: expression},
			}},
			FailurePolicy:      new(admissionregistrationv1.Fail),
			ReinvocationPolicy: admissionregistrationv1.NeverReinvocationPolicy,
		},
	}
	binding := &admissionregistrationv1.MutatingAdmissionPolicyBinding{
		ObjectMeta: meta,
		Spec:       admissionregistrationv1.MutatingAdmissionPolicyBindingSpec{PolicyName: namespace},
	}
	return policy, binding, nil
}

// celPatch returns a CEL expression for a JSON Patch.
func celPatch(patch []byte) (string, error) {
	var operations []struct {
		Op, Path string
		Value    json.RawMessage
	}
	if err := json.Unmarshal(patch, &operations); err != nil {
		return "", err
	}
	expressions := make([]string, len(operations))
	for i, operation := range operations {
		decoder := json.NewDecoder(bytes.NewReader(operation.Value))
		decoder.UseNumber()
		var value any
		if err := decoder.Decode(&value); err != nil {
			return "", fmt.Errorf("value of %s: %w", operation.Path, err)
		}
		expressions[i] = fmt.Sprintf("JSONPatch{op: %s, path: %s, value: %s}",
			strconv.Quote(operation.Op), strconv.Quote(operation.Path), celValue(value))
	}
	return "[" + strings.Join(expressions, ", ") + "]", nil
}

// celValue returns a CEL literal. The API server wants the elements of a literal to have one type, so they are dynamic.
func celValue(value any) string {
	switch value := value.(type) {
	case map[string]any:
		var fields []string
		for _, key := range slices.Sorted(maps.Keys(value)) {
			fields = append(fields, fmt.Sprintf("%s: dyn(%s)", strconv.Quote(key), celValue(value[key])))
		}
		return "{" + strings.Join(fields, ", ") + "}"
	case []any:
		var elements []string
		for _, element := range value {
			elements = append(elements, fmt.Sprintf("dyn(%s)", celValue(element)))
		}
		return "[" + strings.Join(elements, ", ") + "]"
	case string:
		return strconv.Quote(value)
	default:
		return fmt.Sprint(value) // a number, a boolean
	}
}
