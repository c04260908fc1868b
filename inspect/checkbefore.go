package inspect

import (
	"context"
	"errors"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"

	"k8s-sidecar-injector/kube"
)

const policiesResource = "validatingadmissionpolicies"

func (c *checkup) checkPolicies(ctx context.Context) outcome {
	var group struct {
		Kind      string `json:"kind"`
		Resources []struct {
			Name string `json:"name"`
		} `json:"resources"`
	}
	if err := decode(c.client.rest.Get().AbsPath(admissionPrefix).Do(ctx), &group); err != nil {
		return failed("cannot get %s: %v", admissionPrefix, kube.Explain(err, "the ClusterRole system:discovery"))
	}
	for _, r := range group.Resources {
		if r.Name == policiesResource {
			return passed("ValidatingAdmissionPolicy is available")
		}
	}
	return failed("the API server does not serve %s in admissionregistration.k8s.io/v1", policiesResource)
}

// installs returns the objects that the chart creates. The namespace is that of the installation.
func installs(namespace string) (all []attributes) {
	for group, resources := range map[string]string{
		"":                          "configmaps secrets serviceaccounts services",
		"apps":                      "deployments",
		"networking.k8s.io":         "networkpolicies",
		"policy":                    "poddisruptionbudgets",
		"rbac.authorization.k8s.io": "roles rolebindings",
	} {
		for name := range strings.FieldsSeq(resources) {
			all = append(all, attributes{Group: group, Resource: name, Namespace: namespace, Verb: "create"})
		}
	}
	for group, resources := range map[string]string{
		"": "namespaces",
		"admissionregistration.k8s.io": "mutatingwebhookconfigurations validatingwebhookconfigurations " +
			policiesResource + " validatingadmissionpolicybindings",
		"rbac.authorization.k8s.io": "clusterroles clusterrolebindings",
	} {
		for name := range strings.FieldsSeq(resources) {
			all = append(all, attributes{Group: group, Resource: name, Verb: "create"})
		}
	}
	slices.SortFunc(all, func(a, b attributes) int { return strings.Compare(a.String(), b.String()) })
	return all
}

func (c *checkup) checkMayInstall(ctx context.Context) outcome {
	denied, err := c.client.denied(ctx, "", nil, installs(c.options.Namespace))
	switch {
	case err != nil:
		return c.unreadable(err)
	case len(denied) > 0:
		return failed("the caller may not %s", limited(denied, ", "))
	}
	return passed("the caller may create the objects of the chart in namespace %s", c.options.Namespace)
}

// checkOtherInjectors finds webhooks for the same annotation, such as those of the original injector.
func (c *checkup) checkOtherInjectors(context.Context) outcome {
	var problems []outcome
	i, err := c.installation()
	switch {
	case err == nil:
		problems = append(problems, warned("%s is installed already", i))
	case errors.Is(err, ErrSeveralInstallations):
		problems = append(problems, warned("%v", err))
	case !errors.Is(err, ErrNoInstallation):
		return c.unreadable(err)
	}
	all, err := c.webhooks()
	if err != nil {
		return c.unreadable(err)
	}
	for _, w := range all {
		if w.mutating && w.matchesPods() && w.isInjector() {
			problems = append(problems, warned("webhook %s may inject sidecars for the same annotation", &w))
		}
	}
	return worst(problems, passed("there is no other injector"))
}

// isInjector reports whether a webhook is probably one of this injector or of the original.
func (w *webhook) isInjector() bool {
	const annotations = "injector.tumblr.com"
	target := w.ClientConfig.Service
	return strings.Contains(w.Name, annotations) ||
		target != nil && strings.Contains(target.Name, "k8s-sidecar-injector") ||
		slices.ContainsFunc(w.MatchConditions, func(m admissionregistrationv1.MatchCondition) bool {
			return strings.Contains(m.Expression, annotations+"/")
		})
}
