package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// ownNamespaceFile is where kubelet says which namespace a pod is in.
const ownNamespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// readOwnNamespace reads such a file.
func readOwnNamespace(file string) (string, error) {
	own, err := os.ReadFile(file)
	return strings.TrimSpace(string(own)), err
}

// clusterFlags say which API server to talk to, where something else asks for one.
type clusterFlags struct {
	flagSet
	kubeconfig string
	masterURL  string
}

func (c *clusterFlags) define(flags flagSet) {
	c.flagSet = flags
	flags.StringVar(&c.kubeconfig, "kubeconfig", "", "kubeconfig for the API server that has the ConfigMaps, the Secret and the namespaces; a pod needs none")
	flags.env("kubeconfig", "KUBECONFIG")
	flags.StringVar(&c.masterURL, "master-url", "", "URL of that API server, in place of the one in the kubeconfig")
}

// config is for the API server, on behalf of the flag that needs one. Nothing is connected yet.
func (c *clusterFlags) config(needs string) (*rest.Config, error) {
	config, err := c.restConfig(needs)
	if err != nil {
		return nil, err
	}
	config.UserAgent = programName + "/" + version()
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = config.ContentType + ",application/json"
	return config, nil
}

// restConfig takes the service account of the pod unless it is told otherwise.
func (c *clusterFlags) restConfig(needs string) (*rest.Config, error) {
	if c.kubeconfig == "" && c.masterURL == "" {
		config, err := rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf("--%s needs --kubeconfig outside a cluster: %w", needs, err)
		}
		return config, nil
	}
	rules := &clientcmd.ClientConfigLoadingRules{Precedence: filepath.SplitList(c.kubeconfig)}
	if len(rules.Precedence) == 1 {
		rules = &clientcmd.ClientConfigLoadingRules{ExplicitPath: c.kubeconfig} // which must exist
	}
	overrides := &clientcmd.ConfigOverrides{ClusterInfo: clientcmdapi.Cluster{Server: c.masterURL}}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides).ClientConfig()
	switch {
	case clientcmd.IsEmptyConfig(err):
		return nil, fmt.Errorf("%s: %q names no cluster: the file is empty, or none of the files exists", c.named("kubeconfig"), c.kubeconfig)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", c.named("kubeconfig"), err)
	}
	return config, nil
}

// check finds a URL that is none, which would be taken for a fault of the kubeconfig.
func (c *clusterFlags) check() error {
	if c.masterURL == "" {
		return nil
	}
	if _, _, err := rest.DefaultServerURL(c.masterURL, "", schema.GroupVersion{}, false); err != nil {
		return fmt.Errorf("--master-url: %w", err)
	}
	return nil
}
