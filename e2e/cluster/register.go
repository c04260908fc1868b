package cluster

import (
	"context"
	"errors"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Asks is a match condition that excludes pods without a request.
const Asks = "has(object.metadata.annotations) && 'injector.tumblr.com/request' in object.metadata.annotations"

// Register registers the injector for the pods of one namespace, and returns when the API server
// invokes it. change may modify the webhook before it is registered.
func (c *Cluster) Register(
	ctx context.Context, i *Injector, namespace string, change func(*admissionregistrationv1.MutatingWebhook),
) error {
	webhook := admissionregistrationv1.MutatingWebhook{
		Name:                    "injector.example.com",
		ClientConfig:            i.clientConfig("/mutate"),
		Rules:                   rules("pods", admissionregistrationv1.Create),
		FailurePolicy:           new(admissionregistrationv1.Fail),
		SideEffects:             new(admissionregistrationv1.SideEffectClassNone),
		ReinvocationPolicy:      new(admissionregistrationv1.IfNeededReinvocationPolicy),
		AdmissionReviewVersions: []string{"v1", "v1beta1"},
		NamespaceSelector:       only(namespace),
	}
	if change != nil {
		change(&webhook)
	}
	configuration := &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: namespace},
		Webhooks:   []admissionregistrationv1.MutatingWebhook{webhook},
	}
	configurations := c.Client.AdmissionregistrationV1().MutatingWebhookConfigurations()
	_, err := configurations.Create(ctx, configuration, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	return c.awaitReviews(ctx, i, "sidecar_injector_review_duration_seconds_count", func(ctx context.Context) {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				GenerateName: "probe-",
				Annotations:  map[string]string{"injector.tumblr.com/request": "registration-probe"},
			},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}},
		}
		_, _ = c.Client.CoreV1().Pods(namespace).Create(ctx, pod, dryRun())
	})
}

// RegisterValidating registers the injector for the labelled ConfigMaps of one namespace, and returns when
// the API server invokes it.
func (c *Cluster) RegisterValidating(
	ctx context.Context, i *Injector, namespace string, labels map[string]string,
) error {
	configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: namespace},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name:         "validate.injector.example.com",
			ClientConfig: i.clientConfig("/validate"),
			Rules: rules("configmaps",
				admissionregistrationv1.Create, admissionregistrationv1.Update, admissionregistrationv1.Delete),
			FailurePolicy:           new(admissionregistrationv1.Fail),
			SideEffects:             new(admissionregistrationv1.SideEffectClassNone),
			AdmissionReviewVersions: []string{"v1"},
			NamespaceSelector:       only(namespace),
			ObjectSelector:          &metav1.LabelSelector{MatchLabels: labels},
		}},
	}
	configurations := c.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	_, err := configurations.Create(ctx, configuration, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	return c.awaitReviews(ctx, i, `sidecar_injector_validations_total{outcome="allowed"}`, func(ctx context.Context) {
		probe := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "registration-probe", Labels: labels}}
		_, _ = c.Client.CoreV1().ConfigMaps(namespace).Create(ctx, probe, dryRun())
	})
}

// RegisterWorkloads registers the injector for all workloads. It does not wait until the API server invokes it.
func (c *Cluster) RegisterWorkloads(ctx context.Context, i *Injector) error {
	configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "workloads"},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name:         "workloads.injector.example.com",
			ClientConfig: i.clientConfig("/workloads"),
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{
					admissionregistrationv1.Create, admissionregistrationv1.Update,
				},
				Rule: admissionregistrationv1.Rule{
					APIGroups:   []string{"", "apps", "batch"},
					APIVersions: []string{"v1"},
					Resources: []string{
						"deployments", "statefulsets", "daemonsets", "replicasets", "jobs", "cronjobs", "replicationcontrollers",
					},
				},
			}},
			FailurePolicy:           new(admissionregistrationv1.Ignore),
			SideEffects:             new(admissionregistrationv1.SideEffectClassNone),
			TimeoutSeconds:          new(int32(2)),
			AdmissionReviewVersions: []string{"v1"},
		}},
	}
	configurations := c.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	_, err := configurations.Create(ctx, configuration, metav1.CreateOptions{})
	return err
}

// awaitReviews probes until the injector counts a probe.
func (c *Cluster) awaitReviews(ctx context.Context, i *Injector, series string, probe func(context.Context)) error {
	before, err := i.Metric(ctx, series)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return i.await(ctx, "the webhook to be asked", func(ctx context.Context) error {
		probe(ctx)
		now, err := i.Metric(ctx, series)
		if err == nil && now == before {
			err = errors.New("not invoked yet")
		}
		return err
	})
}

func (i *Injector) clientConfig(path string) admissionregistrationv1.WebhookClientConfig {
	return admissionregistrationv1.WebhookClientConfig{URL: new(i.URL(path)), CABundle: i.CA}
}

func rules(
	resource string, operations ...admissionregistrationv1.OperationType,
) []admissionregistrationv1.RuleWithOperations {
	return []admissionregistrationv1.RuleWithOperations{{
		Operations: operations,
		Rule: admissionregistrationv1.Rule{
			APIGroups:   []string{""},
			APIVersions: []string{"v1"},
			Resources:   []string{resource},
		},
	}}
}

// only returns a selector of one namespace, by the label that the API server sets.
func only(namespace string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}}
}

func dryRun() metav1.CreateOptions {
	return metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
}
