package inspect

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

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
	warnings, err := c.client.createTrial(ctx, trialPod(&f.Policy, malformedRequest), namespace, new(createdPod))
	if lacksPermission(err) {
		return c.unreadable(err)
	}
	return callOutcome(namespace, warnings, err)
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
