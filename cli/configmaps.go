package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/hashicorp/go-multierror"
	"github.com/rs/zerolog"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"k8s-sidecar-injector/kube"
	"k8s-sidecar-injector/watcher"
)

// configMapFlags say which ConfigMaps have definitions.
type configMapFlags struct {
	flagSet
	labels    string
	namespace string
}

func (c *configMapFlags) define(flags flagSet) {
	c.flagSet = flags
	flags.StringVar(&c.labels, "configmap-labels", "", "label selector of the ConfigMaps of sidecar definitions, such as app=k8s-sidecar-injector; without it, none are read")
	flags.env("configmap-labels", "CONFIGMAP_LABELS")
	flags.StringVar(&c.namespace, "configmap-namespace", "", "namespace of these ConfigMaps (default the pod's own)")
	flags.env("configmap-namespace", "CONFIGMAP_NAMESPACE")
}

// configMaps gives the source of the ConfigMaps; nil where --configmap-labels turns it off.
func (c *configMapFlags) configMaps(cluster *clusterFlags, log zerolog.Logger) (*watcher.ConfigMaps, error) {
	if c.labels == "" {
		if c.given("configmap-namespace") {
			return nil, errors.New("--configmap-namespace means nothing without --configmap-labels")
		}
		return nil, nil //nolint:nilnil // no source is what was asked for
	}
	selector, err := c.selector()
	faults := multierror.Append(nil, err)
	namespace, err := c.theirNamespace(ownNamespaceFile)
	faults = multierror.Append(faults, err)
	config, err := cluster.config("configmap-labels")
	faults = multierror.Append(faults, err, cluster.check())
	if err := listed(faults); err != nil {
		return nil, err
	}
	client, err := kube.NewClient(config, kube.Core(), "configmaps", namespace,
		func() *corev1.ConfigMap { return new(corev1.ConfigMap) }, func() *corev1.ConfigMapList { return new(corev1.ConfigMapList) })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cluster.named("kubeconfig"), err)
	}
	return watcher.NewConfigMaps(client, namespace, selector, log), nil
}

// selector refuses what would select every ConfigMap there is.
func (c *configMapFlags) selector() (labels.Selector, error) {
	selector, err := labels.Parse(c.labels)
	if err != nil {
		return nil, fmt.Errorf("%s: %q is no label selector: %w", c.named("configmap-labels"), c.labels, err)
	}
	if selector.Empty() {
		return nil, fmt.Errorf("%s: %q selects every ConfigMap: want a label, such as app=k8s-sidecar-injector", c.named("configmap-labels"), c.labels)
	}
	return selector, nil
}

// theirNamespace is where the ConfigMaps are. The file has the namespace of the pod.
func (c *configMapFlags) theirNamespace(file string) (string, error) {
	namespace, where := c.namespace, c.named("configmap-namespace")
	if namespace == "" {
		own, err := readOwnNamespace(file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "", errors.New("--configmap-labels needs --configmap-namespace where there is no pod to have a namespace of its own")
		case err != nil:
			return "", fmt.Errorf("give --configmap-namespace, as the pod's own cannot be read: %w", err)
		}
		namespace, where = own, file
	}
	if why := validation.IsDNS1123Label(namespace); len(why) > 0 {
		return "", fmt.Errorf("%s: %q: %s", where, namespace, strings.Join(why, "; "))
	}
	return namespace, nil
}
