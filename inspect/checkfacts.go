package inspect

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	kjson "k8s.io/apimachinery/pkg/util/json"

	"k8s-sidecar-injector/store"
)

// checkup has the objects that several checks need. Each is read once, by the first check that needs it.
type checkup struct {
	client   *Client
	options  CheckOptions
	current  string            // the check that runs
	reported map[string]string // the checks that have reported an error, by its text

	version      func() (*apiVersion, error)
	installation func() (*Installation, error)
	flags        func() (*flags, error)
	services     func() ([]corev1.Service, error) // in the namespace of the installation
	webhooks     func() ([]webhook, error)        // of all configurations
	snapshot     func() (*store.Snapshot, error)
	certificate  func() (*served, error)
	replicas     func() (*replicaMetrics, error)
	namespaces   func() ([]metav1.ObjectMeta, error)
	requesting   func() ([]metav1.ObjectMeta, error) // the pods of the cluster that request sidecars
}

// flags are the flags of the installation.
type flags struct {
	*Settings
	*Serving
	warnings []string
}

// webhook is a webhook of a configuration. Those that do not mutate have a zero ReinvocationPolicy.
type webhook struct {
	admissionregistrationv1.MutatingWebhook
	configuration string
	mutating      bool
}

// String returns CONFIGURATION/NAME.
func (w *webhook) String() string { return w.configuration + "/" + w.Name }

func newCheckup(ctx context.Context, client *Client, options CheckOptions) *checkup {
	c := &checkup{client: client, options: options, reported: make(map[string]string)}
	c.version = sync.OnceValues(func() (*apiVersion, error) { return client.readVersion(ctx) })
	c.installation = sync.OnceValues(func() (*Installation, error) { return client.Find(ctx, options.Name) })
	c.flags = sync.OnceValues(c.readFlags)
	c.services = sync.OnceValues(func() ([]corev1.Service, error) {
		i, err := c.installation()
		if err != nil {
			return nil, err
		}
		return listOf[corev1.Service](ctx, client, services(), i.Namespace, nil)
	})
	c.webhooks = sync.OnceValues(func() ([]webhook, error) { return client.readWebhooks(ctx) })
	c.snapshot = sync.OnceValues(func() (*store.Snapshot, error) {
		f, err := c.flags()
		if err != nil {
			return nil, err
		}
		i, _ := c.installation()
		return client.Snapshot(ctx, i, f.Settings)
	})
	c.certificate = sync.OnceValues(func() (*served, error) { return c.readCertificate(ctx) })
	c.replicas = sync.OnceValues(func() (*replicaMetrics, error) { return c.readReplicas(ctx) })
	c.namespaces = sync.OnceValues(func() ([]metav1.ObjectMeta, error) {
		return client.listMetadata(ctx, namespaces(), nil, func(*metav1.ObjectMeta) bool { return true })
	})
	c.requesting = sync.OnceValues(func() ([]metav1.ObjectMeta, error) {
		f, err := c.flags()
		if err != nil {
			return nil, err
		}
		running := map[string]string{"fieldSelector": "status.phase!=Succeeded,status.phase!=Failed"}
		return client.listMetadata(ctx, podMetadataOnly(), running, func(m *metav1.ObjectMeta) bool {
			_, requests := m.Annotations[f.Policy.RequestAnnotation()]
			return requests
		})
	})
	return c
}

// listMetadata lists objects of all namespaces, and returns the metadata of those that are kept.
func (c *Client) listMetadata(
	ctx context.Context, r resource, parameters map[string]string, keep func(*metav1.ObjectMeta) bool,
) (all []metav1.ObjectMeta, err error) {
	err = c.list(ctx, r, "", parameters, func(value jsontext.Value) error {
		var object metav1.PartialObjectMetadata
		err := kjson.Unmarshal(value, &object)
		if keep(&object.ObjectMeta) {
			all = append(all, object.ObjectMeta)
		}
		return err
	})
	return all, err
}

// listOf lists objects, and decodes them.
func listOf[T any](
	ctx context.Context, c *Client, r resource, namespace string, parameters map[string]string,
) (objects []T, err error) {
	err = c.list(ctx, r, namespace, parameters, func(value jsontext.Value) error {
		var object T
		err := kjson.Unmarshal(value, &object)
		objects = append(objects, object)
		return err
	})
	return objects, err
}

func (c *checkup) readFlags() (*flags, error) {
	i, err := c.installation()
	if err != nil {
		return nil, err
	}
	f := new(flags)
	f.Settings, f.Serving, f.warnings, err = c.options.ReadFlags(i)
	return f, err
}

// readWebhooks reads the webhooks of all configurations. The fields of validating webhooks are a subset.
func (c *Client) readWebhooks(ctx context.Context) ([]webhook, error) {
	var all []webhook
	for _, r := range []resource{mutatingConfigurations(), validatingConfigurations()} {
		configurations, err := listOf[admissionregistrationv1.MutatingWebhookConfiguration](ctx, c, r, "", nil)
		if err != nil {
			return nil, err
		}
		for _, configuration := range configurations {
			for _, w := range configuration.Webhooks {
				all = append(all, webhook{w, configuration.Name, r == mutatingConfigurations()})
			}
		}
	}
	return all, nil
}

var (
	errNoWebhook  = errors.New("no webhook configuration refers to a Service that selects the pods of the injector")
	errNotForPods = errors.New("no mutating webhook of the injector matches the creation of pods")
	// errNotForRequests is the error if only the webhook for defaults of namespaces is left.
	errNotForRequests = errors.New("no mutating webhook of the injector matches the creation of pods with a request")
)

// own returns the webhooks of the installation.
func (c *checkup) own() ([]webhook, error) {
	all, err := c.webhooks()
	if err != nil {
		return nil, err
	}
	isOwn, err := c.ownership()
	if err != nil {
		return nil, err
	}
	own := slices.DeleteFunc(slices.Clone(all), func(w webhook) bool { return !isOwn(&w) })
	if len(own) == 0 {
		return nil, errNoWebhook
	}
	return own, nil
}

// ownership returns a function that reports whether a webhook is one of the installation: one whose Service selects
// its pods or does not exist, or one of a configuration that its flags name.
func (c *checkup) ownership() (func(*webhook) bool, error) {
	list, err := c.services()
	if err != nil {
		return nil, err
	}
	i, err := c.installation()
	if err != nil {
		return nil, err
	}
	f, err := c.flags()
	if err != nil {
		return nil, err
	}
	return func(w *webhook) bool {
		target := w.ClientConfig.Service
		if target == nil {
			return slices.Contains(f.Configurations, w.configuration)
		}
		service := serviceOf(list, target.Name)
		return target.Namespace == i.Namespace && (service == nil || i.selectedBy(service))
	}, nil
}

// serviceOf returns the Service of this name, or nil.
func serviceOf(list []corev1.Service, name string) *corev1.Service {
	at := slices.IndexFunc(list, func(s corev1.Service) bool { return s.Name == name })
	if at < 0 {
		return nil
	}
	return &list[at]
}

// selectedBy reports whether a Service selects the pods of the installation.
func (i *Installation) selectedBy(service *corev1.Service) bool {
	return len(service.Spec.Selector) > 0 &&
		labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(i.object.Spec.Template.Metadata.Labels))
}

// pods returns the pods of the installation that are not being deleted.
func (c *checkup) pods(ctx context.Context) ([]corev1.Pod, error) {
	i, err := c.installation()
	if err != nil {
		return nil, err
	}
	return i.pods(ctx)
}

// pods returns the pods of the installation that are not being deleted.
func (i *Installation) pods(ctx context.Context) ([]corev1.Pod, error) {
	selector := map[string]string{"labelSelector": metav1.FormatLabelSelector(i.object.Spec.Selector)}
	list, err := listOf[corev1.Pod](ctx, i.client, pods(), i.Namespace, selector)
	return slices.DeleteFunc(list, func(p corev1.Pod) bool {
		return p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded
	}), err
}

// names returns the texts of values, separated by commas.
func names[T any](values []T, text func(T) string) string {
	var texts []string
	for _, value := range values {
		texts = append(texts, text(value))
	}
	if len(texts) == 0 {
		return "none"
	}
	return strings.TrimSpace(limited(texts, ", "))
}
