package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"k8s-sidecar-injector/kube"
	"k8s-sidecar-injector/watcher"
)

// podNamespaceFile is the file in a container that contains the namespace of its pod.
const podNamespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// clusterOptions select the API server, and the ConfigMaps and namespaces that are read from it.
type clusterOptions struct {
	kubeconfig         string
	masterURL          string
	configMapLabels    string // empty to read no ConfigMaps
	configMapNamespace string // after Complete not empty
	namespaceDefaults  bool
	podNamespaceFile   string

	// These are set by Complete.
	config   *rest.Config // nil unless a flag requires an API server
	selector labels.Selector
}

func (o *clusterOptions) AddFlags(flags *pflag.FlagSet) {
	o.podNamespaceFile = podNamespaceFile
	addGroup(flags, groupDefinitions, func(flags *pflag.FlagSet) {
		flags.StringVar(&o.configMapLabels, "configmap-labels", "",
			"label selector of the ConfigMaps with sidecar definitions, such as app=k8s-sidecar-injector; "+
				"if empty, no ConfigMaps are read [$CONFIGMAP_LABELS]")
		flags.StringVar(&o.configMapNamespace, "configmap-namespace", "",
			"namespace of these ConfigMaps (default the pod's own) [$CONFIGMAP_NAMESPACE]")
	})
	addGroup(flags, groupInjection, func(flags *pflag.FlagSet) {
		flags.BoolVar(&o.namespaceDefaults, "namespace-defaults", false,
			"apply the annotation request of a namespace to its pods that do not have the annotation "+
				"[$SIDECAR_INJECTOR_NAMESPACE_DEFAULTS]")
	})
	addGroup(flags, groupCluster, func(flags *pflag.FlagSet) {
		flags.StringVar(&o.kubeconfig, "kubeconfig", "",
			"kubeconfig for the API server that has the ConfigMaps, the Secret and the namespaces; not needed in a pod "+
				"[$KUBECONFIG]")
		flags.StringVar(&o.masterURL, "master-url", "", "URL of the API server; overrides the one in the kubeconfig")
	})
}

// Complete validates the flags. It reads the kubeconfig if a flag in use requires an API server.
func (o *clusterOptions) Complete(e *flagErrors) {
	o.completeConfigMaps(e)
	var requiredBy []string
	for _, name := range []string{"configmap-labels", "events", "namespace-defaults", "self-managed-tls"} {
		if flag := e.flags.Lookup(name); flag != nil && flag.Value.String() != "" && flag.Value.String() != "false" {
			requiredBy = append(requiredBy, name)
		}
	}
	if len(requiredBy) > 0 {
		o.completeConfig(e, requiredBy)
	}
}

func (o *clusterOptions) completeConfigMaps(e *flagErrors) {
	if o.configMapLabels == "" {
		e.checkUnused("configmap-labels", "configmap-namespace")
		return
	}
	o.selector = parseConfigMapLabels(e, o.configMapLabels)
	if o.configMapNamespace == "" {
		var err error
		if o.configMapNamespace, err = o.podNamespace(); err != nil {
			e.addf("--configmap-labels needs --configmap-namespace outside a pod: %w", err)
			return
		}
	}
	e.checkName("configmap-namespace", o.configMapNamespace, validation.IsDNS1123Label)
}

// parseConfigMapLabels returns the selector of the flag --configmap-labels.
func parseConfigMapLabels(e *flagErrors, text string) labels.Selector {
	selector, err := labels.Parse(text)
	if err != nil {
		e.add("configmap-labels", fmt.Errorf("%q is not a label selector: %w", text, err))
	} else if selector.Empty() {
		e.add("configmap-labels", fmt.Errorf("%q selects every ConfigMap; want a label, such as app=k8s-sidecar-injector",
			text))
	}
	return selector
}

func (o *clusterOptions) podNamespace() (string, error) {
	namespace, err := os.ReadFile(o.podNamespaceFile)
	return strings.TrimSpace(string(namespace)), err
}

func (o *clusterOptions) completeConfig(e *flagErrors, requiredBy []string) {
	if o.masterURL != "" {
		// A better error than that of an invalid kubeconfig.
		_, _, err := rest.DefaultServerURL(o.masterURL, "", schema.GroupVersion{}, false)
		e.add("master-url", err)
	}
	var err error
	if o.config, err = o.newConfig(); err == nil {
		_, err = rest.HTTPClientFor(o.config) // reads the certificates
	}
	switch {
	case err == nil:
	case o.inCluster():
		for _, name := range requiredBy {
			e.addf("--%s needs --kubeconfig outside a cluster: %w", name, err)
		}
	case clientcmd.IsEmptyConfig(err):
		e.add("kubeconfig", fmt.Errorf("%q contains no cluster; the file is empty, or none of the files exists",
			o.kubeconfig))
	default:
		e.add("kubeconfig", err)
	}
}

// inCluster reports whether the service account of the pod is used.
func (o *clusterOptions) inCluster() bool {
	return o.kubeconfig == "" && o.masterURL == ""
}

// newConfig returns a client configuration. It does not connect.
func (o *clusterOptions) newConfig() (*rest.Config, error) {
	load := o.loadKubeconfig
	if o.inCluster() {
		load = rest.InClusterConfig
	}
	config, err := load()
	if err != nil {
		return nil, err
	}
	config.UserAgent = programName + "/" + version()
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = config.ContentType + ",application/json"
	return config, nil
}

func (o *clusterOptions) loadKubeconfig() (*rest.Config, error) {
	overrides := &clientcmd.ConfigOverrides{ClusterInfo: clientcmdapi.Cluster{Server: o.masterURL}}
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(kubeconfigRules(o.kubeconfig), overrides).ClientConfig()
}

// kubeconfigRules returns rules to read the kubeconfig as kubectl does: a single file must exist, missing files of a
// list are skipped.
func kubeconfigRules(kubeconfig string) *clientcmd.ClientConfigLoadingRules {
	files := filepath.SplitList(kubeconfig)
	if len(files) == 1 {
		return &clientcmd.ClientConfigLoadingRules{ExplicitPath: kubeconfig}
	}
	return &clientcmd.ClientConfigLoadingRules{Precedence: files}
}

// configWithLimits returns the client configuration with another rate limit.
func (o *clusterOptions) configWithLimits(qps float32, burst int) *rest.Config {
	config := rest.CopyConfig(o.config)
	config.QPS, config.Burst = qps, burst
	return config
}

// newObject is a constructor for kube.NewClient.
func newObject[T any]() *T { return new(T) }

// newConfigMaps returns the source of the ConfigMaps.
func (o *clusterOptions) newConfigMaps(log zerolog.Logger) (*watcher.ConfigMaps, error) {
	client, err := kube.NewClient(o.config, kube.Core(), "configmaps", o.configMapNamespace,
		newObject[corev1.ConfigMap], newObject[corev1.ConfigMapList])
	if err != nil {
		return nil, err
	}
	return watcher.NewConfigMaps(client, o.configMapNamespace, o.selector, log), nil
}

// Reviews can cause requests for namespaces. These limits exceed the rate at which namespaces are created.
const (
	namespaceQPS   = 50
	namespaceBurst = 100
)

// newNamespaces returns the source of an annotation of all namespaces.
func (o *clusterOptions) newNamespaces(annotation string, log zerolog.Logger) (*watcher.Namespaces, error) {
	config := o.configWithLimits(namespaceQPS, namespaceBurst)
	one, err := newMetadataClient(config, "PartialObjectMetadata")
	if err != nil {
		return nil, err
	}
	list, err := newMetadataClient(config, "PartialObjectMetadataList")
	if err != nil {
		return nil, err
	}
	return watcher.NewNamespaces(namespaceClient{one, list}, annotation, log), nil
}

// namespaceClient is a client of the metadata of namespaces. Unlike that of client-go/metadata, it is small and rejects
// whole objects.
type namespaceClient struct {
	*metadataClient
	lister *metadataClient
}

type metadataClient = kube.Client[*metav1.PartialObjectMetadata, *metav1.PartialObjectMetadataList]

// List lists the metadata. The API server returns a list only if the Accept header names the kind of the list.
func (c namespaceClient) List(
	ctx context.Context, options metav1.ListOptions,
) (*metav1.PartialObjectMetadataList, error) {
	return c.lister.List(ctx, options)
}

// newMetadataClient returns a client that accepts only the kind.
func newMetadataClient(config *rest.Config, kind string) (*metadataClient, error) {
	as := ";as=" + kind + ";g=meta.k8s.io;v=v1"
	config = rest.CopyConfig(config)
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf" + as + ",application/json" + as
	metadata := kube.Group{Version: corev1.SchemeGroupVersion, Add: func(scheme *runtime.Scheme) error {
		metav1.AddToGroupVersion(scheme, corev1.SchemeGroupVersion)
		return metav1.AddMetaToScheme(scheme)
	}}
	return kube.NewClient(config, metadata, "namespaces", "",
		newObject[metav1.PartialObjectMetadata], newObject[metav1.PartialObjectMetadataList])
}
