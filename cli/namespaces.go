package cli

import (
	"context"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"

	"k8s-sidecar-injector/kube"
	"k8s-sidecar-injector/watcher"
)

const namespaceDefaults = "namespace-defaults"

// namespaceOptions enable the default request of namespaces.
type namespaceOptions struct {
	enabled bool
}

func (o *namespaceOptions) AddFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&o.enabled, namespaceDefaults, false,
		"apply the annotation request of a namespace to its pods that do not have the annotation")
	bindEnv(flags, namespaceDefaults, "SIDECAR_INJECTOR_NAMESPACE_DEFAULTS")
}

// newNamespaces returns the source of the annotation of all namespaces, or nil if it is disabled.
func (o *namespaceOptions) newNamespaces(
	cluster *clusterOptions, annotation string, log zerolog.Logger,
) (*watcher.Namespaces, error) {
	if !o.enabled {
		return nil, nil //nolint:nilnil // disabled
	}
	config, err := cluster.newConfig()
	if err != nil {
		return nil, err
	}
	client, err := newNamespaceClient(config)
	if err != nil {
		return nil, err
	}
	return watcher.NewNamespaces(client, annotation, log), nil
}

// Reviews can cause requests for namespaces. These limits exceed the rate at which namespaces are created.
const (
	namespaceQPS   = 50
	namespaceBurst = 100
)

// namespaceClient is a client of the metadata of namespaces. Unlike that of client-go/metadata, it is small and rejects
// whole objects.
type namespaceClient struct {
	*metadataClient
	lister *metadataClient
}

type metadataClient = kube.Client[*metav1.PartialObjectMetadata, *metav1.PartialObjectMetadataList]

func newNamespaceClient(config *rest.Config) (client namespaceClient, err error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = namespaceQPS, namespaceBurst
	client.metadataClient, err = newMetadataClient(config, "PartialObjectMetadata")
	if err != nil {
		return client, err
	}
	client.lister, err = newMetadataClient(config, "PartialObjectMetadataList")
	return client, err
}

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
		func() *metav1.PartialObjectMetadata { return new(metav1.PartialObjectMetadata) },
		func() *metav1.PartialObjectMetadataList { return new(metav1.PartialObjectMetadataList) })
}
