package cli

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"k8s-sidecar-injector/kube"
	"k8s-sidecar-injector/watcher"
)

// configMapOptions select the ConfigMaps that contain definitions.
type configMapOptions struct {
	flags     *pflag.FlagSet
	labels    string
	namespace string
}

func (o *configMapOptions) AddFlags(flags *pflag.FlagSet) {
	o.flags = flags
	flags.StringVar(&o.labels, "configmap-labels", "",
		"label selector of the ConfigMaps with sidecar definitions, such as app=k8s-sidecar-injector; "+
			"if empty, no ConfigMaps are read")
	bindEnv(flags, "configmap-labels", "CONFIGMAP_LABELS")
	flags.StringVar(&o.namespace, "configmap-namespace", "", "namespace of these ConfigMaps (default the pod's own)")
	bindEnv(flags, "configmap-namespace", "CONFIGMAP_NAMESPACE")
}

func (o *configMapOptions) enabled() bool { return o.labels != "" }

func (o *configMapOptions) Validate() error {
	if !o.enabled() {
		if setOnCommandLine(o.flags, "configmap-namespace") {
			return errors.New("--configmap-namespace has no effect without --configmap-labels")
		}
		return nil
	}
	_, selectorErr := o.selector()
	_, namespaceErr := o.resolveNamespace(podNamespaceFile)
	return aggregate(selectorErr, namespaceErr)
}

// selector rejects a selector that matches every ConfigMap.
func (o *configMapOptions) selector() (labels.Selector, error) {
	selector, err := labels.Parse(o.labels)
	if err != nil {
		return nil, flagError(o.flags, "configmap-labels", "%q is not a label selector: %w", o.labels, err)
	}
	if selector.Empty() {
		return nil, flagError(o.flags, "configmap-labels",
			"%q selects every ConfigMap; want a label, such as app=k8s-sidecar-injector", o.labels)
	}
	return selector, nil
}

// resolveNamespace returns the namespace of the ConfigMaps. By default, it is that of the pod, which the file contains.
func (o *configMapOptions) resolveNamespace(file string) (string, error) {
	namespace := o.namespace
	if namespace == "" {
		var err error
		namespace, err = readPodNamespace(file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "", errors.New("--configmap-labels needs --configmap-namespace outside a pod")
		case err != nil:
			return "", fmt.Errorf("--configmap-labels needs --configmap-namespace: %w", err)
		}
	}
	return namespace, validateName(o.flags, "configmap-namespace", namespace, validation.IsDNS1123Label)
}

// newSource returns the source of the ConfigMaps, or nil if it is disabled.
func (o *configMapOptions) newSource(cluster *clusterOptions, log zerolog.Logger) (*watcher.ConfigMaps, error) {
	if !o.enabled() {
		return nil, nil //nolint:nilnil // disabled
	}
	selector, err := o.selector()
	if err != nil {
		return nil, err
	}
	namespace, err := o.resolveNamespace(podNamespaceFile)
	if err != nil {
		return nil, err
	}
	config, err := cluster.newConfig()
	if err != nil {
		return nil, err
	}
	client, err := kube.NewClient(config, kube.Core(), "configmaps", namespace,
		func() *corev1.ConfigMap { return new(corev1.ConfigMap) },
		func() *corev1.ConfigMapList { return new(corev1.ConfigMapList) })
	if err != nil {
		return nil, err
	}
	return watcher.NewConfigMaps(client, namespace, selector, log), nil
}
