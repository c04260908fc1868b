package cli

import (
	"context"
	"fmt"

	"github.com/hashicorp/go-multierror"
	"github.com/rs/zerolog"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"

	"k8s-sidecar-injector/kube"
	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/watcher"
)

// namespaceFlags say whether namespaces ask on behalf of their pods.
type namespaceFlags struct {
	flagSet
	defaults bool
}

const namespaceDefaults = "namespace-defaults"

func (n *namespaceFlags) define(flags flagSet) {
	n.flagSet = flags
	flags.BoolVar(&n.defaults, namespaceDefaults, false, "let the annotation request of a namespace apply to its pods that have none")
	flags.env(namespaceDefaults, "SIDECAR_INJECTOR_NAMESPACE_DEFAULTS")
}

// namespaces gives the annotations of the namespaces; nil where they do not count.
func (n *namespaceFlags) namespaces(cluster *clusterFlags, policy *mutate.Policy, log zerolog.Logger) (*watcher.Namespaces, error) {
	if !n.defaults {
		return nil, nil //nolint:nilnil // none is what was asked for
	}
	config, err := cluster.config(namespaceDefaults)
	if err := listed(multierror.Append(nil, err, cluster.check())); err != nil {
		return nil, err
	}
	client, err := newNamespaceClient(config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cluster.named("kubeconfig"), err)
	}
	return watcher.NewNamespaces(client, policy.RequestAnnotation(), log), nil
}

// What is asked of the API server for reviews is bounded, and more than a new namespace a time takes.
const (
	questionsPerSecond = 50
	questionsAtOnce    = 100
)

// namespaceClient is a client of the metadata of namespaces. The one of client-go/metadata is larger,
// and takes whole objects for an answer.
type namespaceClient struct {
	*metadataClient
	lister *metadataClient
}

type metadataClient = kube.Client[*metav1.PartialObjectMetadata, *metav1.PartialObjectMetadataList]

func newNamespaceClient(config *rest.Config) (client namespaceClient, err error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = questionsPerSecond, questionsAtOnce
	client.metadataClient, err = newMetadataClient(config, "PartialObjectMetadata")
	if err != nil {
		return client, err
	}
	client.lister, err = newMetadataClient(config, "PartialObjectMetadataList")
	return client, err
}

// List asks for a list, which the API server gives to nobody who asks for an object.
func (n namespaceClient) List(ctx context.Context, options metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
	return n.lister.List(ctx, options)
}

// newMetadataClient makes a client that takes no other answer than this kind.
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
