package inspect

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"k8s-sidecar-injector/kube"
	"k8s-sidecar-injector/mutate"
)

// trialRequest is the request of the trial pod. It is malformed, so nothing is injected. Alerts are about requests for
// sidecars that do not exist.
const trialRequest = "k8s-sidecar-injector check"

// trialPod returns a pod that the Pod Security level restricted allows.
func trialPod(policy *mutate.Policy) *corev1.Pod {
	return &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: "k8s-sidecar-injector-check-",
			Annotations:  map[string]string{policy.RequestAnnotation(): trialRequest},
		},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken: new(false),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: new(true), RunAsUser: new(int64(65534)),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "check", Image: "k8s-sidecar-injector",
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: new(false),
					Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
}

// checkCall creates a pod as a dry run. The response of the injector about its request proves that the API server
// reaches it and trusts its certificate.
func (c *checkup) checkCall(ctx context.Context) outcome {
	own, err := c.forPods()
	if err != nil {
		return c.unreadable(err)
	}
	f, err := c.flags()
	if err != nil {
		return c.unreadable(err)
	}
	namespace := c.options.Namespace
	if reason := c.excluded(own, f); reason != "" {
		return skipped("%s; select another with --namespace", reason)
	}
	body, err := json.Marshal(trialPod(&f.Policy))
	if err != nil {
		return failed("%v", err)
	}
	warnings, err := c.client.create(ctx, pods(), namespace, true, body, nil)
	answered := func(text string) bool {
		return strings.Contains(text, string(mutate.ReasonBadRequest)+": ") && strings.Contains(text, trialRequest)
	}
	switch {
	case slices.ContainsFunc(warnings, answered), err != nil && answered(err.Error()):
		return passed("the API server called the webhook for a trial pod in namespace %s", namespace)
	case lacksPermission(err):
		return c.unreadable(pods().describe("create", namespace, "", err))
	case err != nil:
		if !apierrors.IsForbidden(err) {
			err = kube.Explain(err, "")
		}
		return failed("the API server does not create a trial pod in namespace %s: %v", namespace, err)
	}
	return failed("the API server created a trial pod in namespace %s, as a dry run, without an answer of the webhook",
		namespace)
}

// excluded returns why the trial pod is not reviewed, or "".
func (c *checkup) excluded(own []webhook, f *flags) string {
	namespace := c.options.Namespace
	if slices.Contains(f.Policy.IgnoredNamespaces, namespace) {
		return "namespace " + namespace + " is one of --ignored-namespaces"
	}
	set := map[string]string{corev1.LabelMetadataName: namespace}
	if all, err := c.namespaces(); err == nil {
		at := slices.IndexFunc(all, func(n metav1.ObjectMeta) bool { return n.Name == namespace })
		if at < 0 {
			return "namespace " + namespace + " does not exist"
		}
		set = all[at].Labels
	}
	selected := slices.ContainsFunc(own, func(w webhook) bool {
		selector, err := metav1.LabelSelectorAsSelector(w.NamespaceSelector)
		return (w.NamespaceSelector == nil || err == nil && selector.Matches(labels.Set(set))) && w.selects(nil)
	})
	if !selected {
		return "the webhook excludes namespace " + namespace
	}
	return ""
}
