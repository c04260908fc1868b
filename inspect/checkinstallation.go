package inspect

import (
	"context"
	"errors"
	"fmt"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

func (c *checkup) checkInstallation(context.Context) outcome {
	i, err := c.installation()
	_, isRequest := errors.AsType[*RequestError](err)
	named := c.options.Name.Name != ""
	switch {
	case err == nil:
		return passed("%s", i)
	case apierrors.IsForbidden(err) && named:
		return failed("%v", err).withHint("grant the permission to the caller")
	case apierrors.IsForbidden(err):
		return failed("%v", err).withHint(
			"grant the permission to the caller, or name the Deployment with --injector=NAMESPACE/NAME")
	case isRequest && !apierrors.IsNotFound(err):
		return failed("%v", err).withHint("check --kubeconfig and --context")
	case named:
		return failed("%v", err).withHint("correct --injector")
	}
	return failed("%v", err)
}

func (c *checkup) checkFlags(context.Context) outcome {
	f, err := c.flags()
	switch {
	case err != nil:
		return c.unreadable(err)
	case len(f.warnings) > 0:
		return warned("%s", limited(f.warnings, "; "))
	}
	return passed("the flags are valid")
}

// wanted returns the number of replicas. The API server sets it.
func (i *Installation) wanted() int32 {
	if i.object.Spec.Replicas == nil {
		return 1
	}
	return *i.object.Spec.Replicas
}

func (c *checkup) checkReplicas(ctx context.Context) outcome {
	i, err := c.installation()
	if err != nil {
		return c.unreadable(err)
	}
	message := fmt.Sprintf("ready replicas: %d of %d", i.object.Status.ReadyReplicas, i.wanted())
	switch {
	case i.wanted() == 0:
		return failed("the Deployment is scaled to 0 replicas: scale it up").withHint(
			"run `kubectl -n %s scale deployment/%s --replicas=2`", i.Namespace, i.Name)
	case i.object.Status.ReadyReplicas == 0:
		return failed("%s", message+c.pending(ctx))
	case i.object.Status.ReadyReplicas < i.wanted():
		return warned("%s", message+c.pending(ctx))
	case i.object.Status.UpdatedReplicas < i.wanted():
		return warned("%s, with the current pod template: %d", message, i.object.Status.UpdatedReplicas)
	}
	return passed("%s", message)
}

// endpointSlice is the view of an EndpointSlice. An endpoint without a condition is ready.
type endpointSlice struct {
	Endpoints []struct {
		Conditions struct {
			Ready *bool `json:"ready"`
		} `json:"conditions"`
	} `json:"endpoints"`
}

func (c *checkup) checkEndpoints(ctx context.Context) outcome {
	own, err := c.own()
	if err != nil {
		return c.unreadable(err)
	}
	i, err := c.installation()
	if err != nil {
		return c.unreadable(err)
	}
	var problems []outcome
	var counts []string
	for _, name := range targets(own) {
		list, err := listOf[endpointSlice](ctx, c.client, endpointSlices(), i.Namespace,
			map[string]string{"labelSelector": "kubernetes.io/service-name=" + name})
		if err != nil {
			return c.unreadable(err)
		}
		ready := countReady(list)
		if ready == 0 {
			problems = append(problems, failed("Service %s has no ready endpoint", name))
		}
		counts = append(counts, fmt.Sprintf("ready endpoints of Service %s: %d", name, ready))
	}
	return worst(problems, passed("%s", limited(counts, ", ")))
}

func countReady(list []endpointSlice) (ready int) {
	for _, slice := range list {
		for _, endpoint := range slice.Endpoints {
			if endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready {
				ready++
			}
		}
	}
	return ready
}

// targets returns the names of the Services of webhooks.
func targets(webhooks []webhook) (names []string) {
	for _, w := range webhooks {
		if w.ClientConfig.Service != nil {
			names = append(names, w.ClientConfig.Service.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// budget is the view of a PodDisruptionBudget.
type budget struct {
	Spec struct {
		Selector *metav1.LabelSelector `json:"selector"`
	} `json:"spec"`
}

func (c *checkup) checkAvailability(ctx context.Context) outcome {
	own, err := c.own()
	if err != nil {
		return c.unreadable(err)
	}
	i, err := c.installation()
	if err != nil {
		return c.unreadable(err)
	}
	failing := slices.DeleteFunc(slices.Clone(own), func(w webhook) bool { return ignoresFailures(&w) })
	if len(failing) == 0 {
		return passed("failurePolicy is Ignore: while the injector is down, pods are created without their sidecars")
	}
	which := names(failing, func(w webhook) string { return w.String() })
	if i.wanted() < 2 {
		return warned("failurePolicy of %s is Fail, and the number of replicas is %d", which, i.wanted())
	}
	list, err := listOf[budget](ctx, c.client, budgets(), i.Namespace, nil)
	if err != nil {
		return c.unreadable(err)
	}
	if !slices.ContainsFunc(list, i.protectedBy) {
		return warned("failurePolicy of %s is Fail, and no PodDisruptionBudget selects the replicas", which)
	}
	return passed("failurePolicy of %s is Fail, with %d replicas and a PodDisruptionBudget", which, i.wanted())
}

// ignoresFailures reports whether objects are admitted if the webhook fails. The default is Fail.
func ignoresFailures(w *webhook) bool {
	return w.FailurePolicy != nil && *w.FailurePolicy == admissionregistrationv1.Ignore
}

// protectedBy reports whether a PodDisruptionBudget selects the replicas.
func (i *Installation) protectedBy(b budget) bool {
	selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
	return err == nil && selector.Matches(labels.Set(i.object.Spec.Template.Metadata.Labels))
}

func (c *checkup) checkMounts(context.Context) outcome {
	f, err := c.flags()
	if err != nil {
		return c.unreadable(err)
	}
	i, err := c.installation()
	switch {
	case err != nil:
		return c.unreadable(err)
	case f.Directory == "":
		return passed("no config directory is mounted")
	}
	var problems []outcome
	for _, mount := range i.container.VolumeMounts {
		_, contains := below(i.absolute(f.Directory), mount.MountPath)
		_, contained := below(mount.MountPath, i.absolute(f.Directory))
		if (contains || contained) && (mount.SubPath != "" || mount.SubPathExpr != "") && i.isConfigMap(mount.Name) {
			problems = append(problems, warned(
				"%s is mounted with subPath, so the kubelet never updates it", mount.MountPath))
		}
	}
	return worst(problems, passed("the config directory is %s", f.Directory))
}

// isConfigMap reports whether a volume has files of ConfigMaps.
func (i *Installation) isConfigMap(name string) bool {
	return slices.ContainsFunc(i.volumes, func(v corev1.Volume) bool {
		return v.Name == name && (v.ConfigMap != nil || v.Projected != nil)
	})
}
