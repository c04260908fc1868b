package inspect

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// checkCall creates a pod as a dry run. The response of the injector about its request proves that the API server
// reaches it and trusts its certificate.
func (c *checkup) checkCall(ctx context.Context) outcome {
	own, err := c.forRequests()
	if err != nil {
		return c.unreadable(err)
	}
	f, err := c.flags()
	if err != nil {
		return c.unreadable(err)
	}
	namespace := c.options.Namespace
	if reason := c.excluded(own, f); reason != "" {
		return skipped("%s", reason)
	}
	warnings, err := c.client.createTrial(ctx, trialPod(&f.Policy, malformedRequest), namespace, new(createdPod))
	o := callOutcome(namespace, warnings, err)
	switch {
	case lacksPermission(err):
		return c.unreadable(err)
	case err != nil:
		return o.withHint("correct what the error names, or select another namespace with --namespace")
	case !slices.ContainsFunc(own, func(w webhook) bool { return ignoresFailures(&w) }):
		// An error of the call would have been the response.
		return o.withHint("compare the rules, matchConditions and selectors of the webhook with those of the chart")
	}
	return o
}

// excluded returns why the trial pod is not reviewed, or "".
func (c *checkup) excluded(own []webhook, f *flags) string {
	const selectAnother = "; select another with --namespace"
	namespace := c.options.Namespace
	if slices.Contains(f.Policy.IgnoredNamespaces, namespace) {
		return "namespace " + namespace + " is one of --ignored-namespaces" + selectAnother
	}
	metadata := &metav1.ObjectMeta{Labels: map[string]string{corev1.LabelMetadataName: namespace}}
	if all, err := c.namespaces(); err == nil {
		at := slices.IndexFunc(all, func(n metav1.ObjectMeta) bool { return n.Name == namespace })
		if at < 0 {
			return "namespace " + namespace + " does not exist" + selectAnother
		}
		metadata = &all[at]
	}
	own = slices.DeleteFunc(slices.Clone(own), func(w webhook) bool { return !w.includes(metadata) })
	switch {
	case len(own) == 0:
		return "the webhook excludes namespace " + namespace + selectAnother
	case !slices.ContainsFunc(own, func(w webhook) bool { return w.selects(nil) }):
		return "the objectSelector of the webhook excludes the trial pod, which has no labels"
	}
	return ""
}
