package inspect

import (
	"context"
	"fmt"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// The paths of the webhooks.
const (
	pathMutate    = "/mutate"
	pathValidate  = "/validate"
	pathWorkloads = "/workloads"
)

// path returns the path of the webhook, or "" if it has a URL.
func (w *webhook) path() string {
	if w.ClientConfig.Service == nil || w.ClientConfig.Service.Path == nil {
		return ""
	}
	return *w.ClientConfig.Service.Path
}

// forPods returns the webhooks of the installation that inject.
func (c *checkup) forPods() ([]webhook, error) {
	own, err := c.own()
	if err != nil {
		return nil, err
	}
	own = slices.DeleteFunc(own, func(w webhook) bool { return !w.mutating || !w.matchesPods() })
	if len(own) == 0 {
		return nil, errNotForPods
	}
	return own, nil
}

// forRequests returns the webhooks of the installation for pods that request sidecars themselves.
func (c *checkup) forRequests() ([]webhook, error) {
	own, err := c.forPods()
	if err != nil {
		return nil, err
	}
	own = slices.DeleteFunc(own, func(w webhook) bool { return w.isForDefaults() })
	if len(own) == 0 {
		return nil, errNotForRequests
	}
	return own, nil
}

// isForDefaults reports whether the webhook is that of the chart for defaults of namespaces. Its matchConditions
// exclude pods that request sidecars themselves.
func (w *webhook) isForDefaults() bool { return strings.HasPrefix(w.Name, "defaults.") }

// matchesPods reports whether a rule of the webhook matches the creation of pods.
func (w *webhook) matchesPods() bool {
	contains := func(list []string, value string) bool {
		return slices.Contains(list, value) || slices.Contains(list, "*")
	}
	return slices.ContainsFunc(w.Rules, func(r admissionregistrationv1.RuleWithOperations) bool {
		created := slices.Contains(r.Operations, admissionregistrationv1.Create) ||
			slices.Contains(r.Operations, admissionregistrationv1.OperationAll)
		isClusterScope := r.Scope != nil && *r.Scope == admissionregistrationv1.ClusterScope
		return created && !isClusterScope && contains(r.APIGroups, "") && contains(r.APIVersions, "v1") &&
			(contains(r.Resources, "pods") || slices.Contains(r.Resources, "*/*"))
	})
}

func (c *checkup) checkConfigurations(context.Context) outcome {
	own, err := c.own()
	if err != nil {
		return c.unreadable(err)
	}
	var problems []outcome
	if _, err := c.forRequests(); err != nil {
		problems = append(problems, c.unreadable(err))
	}
	for _, w := range own {
		if w.mutating && !w.matchesPods() {
			problems = append(problems, failed("%s: no rule matches the creation of pods", &w))
		}
	}
	list := func(path string) string {
		of := slices.DeleteFunc(slices.Clone(own), func(w webhook) bool { return w.path() != path })
		return names(of, func(w webhook) string { return w.String() })
	}
	return worst(problems, passed("pods: %s, definitions: %s, workloads: %s",
		list(pathMutate), list(pathValidate), list(pathWorkloads)))
}

func (c *checkup) checkTargets(context.Context) outcome {
	own, err := c.own()
	if err != nil {
		return c.unreadable(err)
	}
	var problems []outcome
	for _, w := range own {
		if problem := c.checkTarget(&w); problem != "" {
			problems = append(problems, failed("%s: %s", &w, problem))
		}
	}
	return worst(problems, passed("Services, ports and paths exist"))
}

// checkTarget returns what is wrong with the Service of a webhook, or "".
func (c *checkup) checkTarget(w *webhook) string {
	target := w.ClientConfig.Service
	list, _ := c.services()
	i, _ := c.installation()
	f, _ := c.flags()
	if target == nil {
		return "" // a URL
	}
	service := serviceOf(list, target.Name)
	if service == nil {
		return fmt.Sprintf("Service %s/%s does not exist", target.Namespace, target.Name)
	}
	paths := []string{pathValidate, pathWorkloads}
	if w.mutating {
		paths = []string{pathMutate}
	}
	if !slices.Contains(paths, w.path()) {
		return fmt.Sprintf("the injector does not serve path %q for this kind of webhook", w.path())
	}
	port := servicePort(target)
	at := slices.IndexFunc(service.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == port })
	if at < 0 {
		return fmt.Sprintf("Service %s has no port %d", target.Name, port)
	}
	if got := i.containerPort(&service.Spec.Ports[at]); got != f.Port {
		return fmt.Sprintf("port %d of Service %s is port %d of the container, but --tls-port is %d",
			port, target.Name, got, f.Port)
	}
	return ""
}

// servicePort returns the port of a reference to a Service.
func servicePort(target *admissionregistrationv1.ServiceReference) int32 {
	if target.Port == nil {
		return 443
	}
	return *target.Port
}

// containerPort returns the port of the container that a port of a Service refers to, or 0.
func (i *Installation) containerPort(port *corev1.ServicePort) int {
	switch to := port.TargetPort; {
	case to.Type == intstr.String:
		for _, p := range i.container.Ports {
			if p.Name == to.StrVal {
				return int(p.ContainerPort)
			}
		}
		return 0
	case to.IntVal != 0:
		return int(to.IntVal)
	}
	return int(port.Port)
}

func (c *checkup) checkOthers(context.Context) outcome {
	all, err := c.webhooks()
	if err != nil {
		return c.unreadable(err)
	}
	own, err := c.forPods()
	if err != nil {
		return c.unreadable(err)
	}
	isOwn, err := c.ownership()
	if err != nil {
		return c.unreadable(err)
	}
	others := slices.DeleteFunc(slices.Clone(all), func(w webhook) bool {
		return isOwn(&w) || !w.mutating || !w.matchesPods()
	})
	// The API server calls the configurations in the order of their names.
	later := slices.DeleteFunc(slices.Clone(others), func(w webhook) bool {
		return w.configuration < own[0].configuration
	})
	list := func(of []webhook) string { return names(of, func(w webhook) string { return w.String() }) }
	if len(later) > 0 && !own[0].isReinvoked() {
		return warned("reinvocationPolicy of %s is Never, so it does not see the changes to pods of later webhooks: %s",
			&own[0], list(later))
	}
	return passed("other webhooks that may change pods: %s", list(others))
}

// isReinvoked reports whether the webhook is called again if a later one changes the object.
func (w *webhook) isReinvoked() bool {
	return w.ReinvocationPolicy != nil && *w.ReinvocationPolicy == admissionregistrationv1.IfNeededReinvocationPolicy
}
