package inspect

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

func (c *checkup) checkSelectors(context.Context) outcome {
	own, err := c.forPods()
	if err != nil {
		return c.unreadable(err)
	}
	all, err := c.namespaces()
	if err != nil {
		return c.unreadable(err)
	}
	var problems []outcome
	for _, w := range own {
		problems = append(problems, c.checkSelector(&w, all)...)
	}
	excluded, err := c.excludedRequests(all)
	if err != nil {
		return c.unreadable(err)
	}
	if len(excluded) > 0 {
		problems = append(problems, warned("the selectors exclude pods that request sidecars, in namespaces: %s",
			limited(excluded, ", ")))
	}
	return worst(problems, passed("the selectors exclude the namespace of the injector, and include others"))
}

// checkSelector checks the namespaces that the webhook selects.
func (c *checkup) checkSelector(w *webhook, all []metav1.ObjectMeta) (problems []outcome) {
	i, _ := c.installation()
	f, _ := c.flags()
	if _, err := metav1.LabelSelectorAsSelector(w.NamespaceSelector); err != nil {
		return []outcome{failed("%s: namespaceSelector: %v", w, err)}
	}
	useful := false
	for _, namespace := range all {
		selected, ignored := w.includes(&namespace), slices.Contains(f.Policy.IgnoredNamespaces, namespace.Name)
		_, isDefault := namespace.Annotations[f.Policy.RequestAnnotation()]
		switch {
		case selected && namespace.Name == i.Namespace && w.selects(i.object.Spec.Template.Metadata.Labels):
			problems = append(problems, i.ownNamespace(w))
		case selected && ignored && !ignoresFailures(w):
			problems = append(problems, warned(
				"%s: failurePolicy is Fail, and the namespaceSelector includes the ignored namespace %s", w, namespace.Name))
		case selected && !ignored:
			useful = true
		case !selected && isDefault && f.NamespaceDefaults:
			problems = append(problems, warned(
				"%s: the namespaceSelector excludes namespace %s, which has a default", w, namespace.Name))
		}
	}
	const none = "%s: the namespaceSelector includes no namespace other than that of the injector and ignored ones"
	switch {
	case useful:
	case w.isForDefaults(): // as long as no namespace has the label
		problems = append(problems, warned(none, w))
	default:
		problems = append(problems, failed(none, w))
	}
	return problems
}

// excludedRequests returns the namespaces with pods that request sidecars, and that no webhook includes. Those of the
// injector, and ignored ones, do not count. Pods are read only if a selector excludes some. If the caller may not list
// them, there are none.
func (c *checkup) excludedRequests(all []metav1.ObjectMeta) (names []string, err error) {
	own, err := c.forRequests()
	if err != nil {
		return nil, nil //nolint:nilerr // checkConfigurations reports it
	}
	i, _ := c.installation()
	f, _ := c.flags()
	including := make(map[string][]webhook)
	complete := true
	for _, namespace := range all {
		if namespace.Name == i.Namespace || slices.Contains(f.Policy.IgnoredNamespaces, namespace.Name) {
			continue
		}
		of := slices.DeleteFunc(slices.Clone(own), func(w webhook) bool { return !w.includes(&namespace) })
		including[namespace.Name] = of
		complete = complete && slices.ContainsFunc(of, func(w webhook) bool { return w.selects(nil) })
	}
	if complete {
		return nil, nil
	}
	pods, err := c.requesting()
	if apierrors.IsForbidden(err) {
		return nil, nil
	}
	for _, pod := range pods {
		of, counts := including[pod.Namespace]
		if counts && !slices.ContainsFunc(of, func(w webhook) bool { return w.selects(pod.Labels) }) {
			names = append(names, pod.Namespace)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), err
}

// includes reports whether the namespaceSelector matches a namespace.
func (w *webhook) includes(namespace *metav1.ObjectMeta) bool {
	return matches(w.NamespaceSelector, namespace.Labels)
}

// ownNamespace is the outcome of a webhook that includes the pods of the injector. If it fails, they cannot be created.
func (i *Installation) ownNamespace(w *webhook) outcome {
	message := fmt.Sprintf("%s: the selectors include the pods of the injector in namespace %s", w, i.Namespace)
	if ignoresFailures(w) || len(w.MatchConditions) > 0 {
		return warned("%s", message)
	}
	return failed("%s", message)
}

// selects reports whether the objectSelector matches labels.
func (w *webhook) selects(set map[string]string) bool { return matches(w.ObjectSelector, set) }

// matches reports whether the selector of a webhook matches labels. If it is nil, it matches all.
func matches(selector *metav1.LabelSelector, set map[string]string) bool {
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	return selector == nil || err == nil && parsed.Matches(labels.Set(set))
}
