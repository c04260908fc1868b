package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/go-multierror"
	"github.com/rs/zerolog"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"k8s-sidecar-injector/watcher"
)

// ownNamespaceFile is where kubelet says which namespace a pod is in.
const ownNamespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// configMapFlags say which ConfigMaps have definitions, and which API server has them.
type configMapFlags struct {
	flagSet
	labels     string
	namespace  string
	kubeconfig string
	masterURL  string
}

func (c *configMapFlags) define(flags flagSet) {
	c.flagSet = flags
	flags.StringVar(&c.labels, "configmap-labels", "", "label selector of the ConfigMaps of sidecar definitions, such as app=k8s-sidecar-injector; without it, none are read")
	flags.env("configmap-labels", "CONFIGMAP_LABELS")
	flags.StringVar(&c.namespace, "configmap-namespace", "", "namespace of these ConfigMaps (default the pod's own)")
	flags.env("configmap-namespace", "CONFIGMAP_NAMESPACE")
	flags.StringVar(&c.kubeconfig, "kubeconfig", "", "kubeconfig for the API server that has these ConfigMaps; a pod needs none")
	flags.env("kubeconfig", "KUBECONFIG")
	flags.StringVar(&c.masterURL, "master-url", "", "URL of that API server, in place of the one in the kubeconfig")
}

// configMaps gives the source of the ConfigMaps; nil where --configmap-labels turns it off.
func (c *configMapFlags) configMaps(log zerolog.Logger) (*watcher.ConfigMaps, error) {
	if c.labels == "" {
		return nil, nil //nolint:nilnil // no source is what was asked for
	}
	selector, err := c.selector()
	faults := multierror.Append(nil, err)
	namespace, err := c.theirNamespace(ownNamespaceFile)
	faults = multierror.Append(faults, err)
	client, err := c.client()
	faults = multierror.Append(faults, err)
	if err := listed(faults); err != nil {
		return nil, err
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
		own, err := os.ReadFile(file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "", errors.New("--configmap-labels needs --configmap-namespace where there is no pod to have a namespace of its own")
		case err != nil:
			return "", fmt.Errorf("give --configmap-namespace, as the pod's own cannot be read: %w", err)
		}
		namespace, where = strings.TrimSpace(string(own)), file
	}
	if why := validation.IsDNS1123Label(namespace); len(why) > 0 {
		return "", fmt.Errorf("%s: %q: %s", where, namespace, strings.Join(why, "; "))
	}
	return namespace, nil
}

// client is for the API server that has the ConfigMaps. It does not connect yet.
func (c *configMapFlags) client() (*corev1client.CoreV1Client, error) {
	config, err := c.restConfig()
	if err != nil {
		return nil, err
	}
	config.UserAgent = programName + "/" + version()
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = config.ContentType + ",application/json"
	client, err := corev1client.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.named("kubeconfig"), err)
	}
	return client, nil
}

// restConfig takes the service account of the pod unless it is told otherwise.
func (c *configMapFlags) restConfig() (*rest.Config, error) {
	if c.kubeconfig == "" && c.masterURL == "" {
		config, err := rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf("--configmap-labels needs --kubeconfig outside a cluster: %w", err)
		}
		return config, nil
	}
	rules := &clientcmd.ClientConfigLoadingRules{Precedence: filepath.SplitList(c.kubeconfig)}
	if len(rules.Precedence) == 1 {
		rules = &clientcmd.ClientConfigLoadingRules{ExplicitPath: c.kubeconfig} // which must exist
	}
	overrides := &clientcmd.ConfigOverrides{ClusterInfo: clientcmdapi.Cluster{Server: c.masterURL}}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.named("kubeconfig"), err)
	}
	return config, nil
}
