package cli

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// podNamespaceFile is the file in a container that contains the namespace of its pod.
const podNamespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

func readPodNamespace(file string) (string, error) {
	namespace, err := os.ReadFile(file)
	return strings.TrimSpace(string(namespace)), err
}

// clusterOptions select the API server. They apply only if another option requires one.
type clusterOptions struct {
	flags      *pflag.FlagSet
	kubeconfig string
	masterURL  string
}

func (o *clusterOptions) AddFlags(flags *pflag.FlagSet) {
	o.flags = flags
	flags.StringVar(&o.kubeconfig, "kubeconfig", "",
		"kubeconfig for the API server that has the ConfigMaps, the Secret and the namespaces; not needed in a pod")
	bindEnv(flags, "kubeconfig", "KUBECONFIG")
	flags.StringVar(&o.masterURL, "master-url", "", "URL of the API server; overrides the one in the kubeconfig")
}

// Validate returns all errors. The map contains the flags that require an API server, and whether they are in use.
func (o *clusterOptions) Validate(requiredBy map[string]bool) error {
	maps.DeleteFunc(requiredBy, func(_ string, inUse bool) bool { return !inUse })
	if len(requiredBy) == 0 {
		return nil
	}
	return aggregate(o.validateMasterURL(), o.validateConfig(slices.Sorted(maps.Keys(requiredBy))))
}

// validateConfig returns an error for each of the flags if there is no API server.
func (o *clusterOptions) validateConfig(requiredBy []string) error {
	config, err := o.newConfig()
	if err == nil {
		_, err = rest.HTTPClientFor(config) // reads the certificates
	}
	switch {
	case err == nil:
		return nil
	case o.inCluster():
		var errs []error
		for _, name := range requiredBy {
			errs = append(errs, fmt.Errorf("--%s needs --kubeconfig outside a cluster: %w", name, err))
		}
		return aggregate(errs...)
	case clientcmd.IsEmptyConfig(err):
		return flagError(o.flags, "kubeconfig", "%q contains no cluster; the file is empty, or none of the files exists",
			o.kubeconfig)
	}
	return flagError(o.flags, "kubeconfig", "%w", err)
}

// validateMasterURL returns a better error than that of an invalid kubeconfig.
func (o *clusterOptions) validateMasterURL() error {
	if o.masterURL == "" {
		return nil
	}
	if _, _, err := rest.DefaultServerURL(o.masterURL, "", schema.GroupVersion{}, false); err != nil {
		return flagError(o.flags, "master-url", "%w", err)
	}
	return nil
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

// loadKubeconfig reads the kubeconfig as kubectl does: a single file must exist, missing files of a list are skipped.
func (o *clusterOptions) loadKubeconfig() (*rest.Config, error) {
	rules := &clientcmd.ClientConfigLoadingRules{Precedence: filepath.SplitList(o.kubeconfig)}
	if len(rules.Precedence) == 1 {
		rules = &clientcmd.ClientConfigLoadingRules{ExplicitPath: o.kubeconfig}
	}
	overrides := &clientcmd.ConfigOverrides{ClusterInfo: clientcmdapi.Cluster{Server: o.masterURL}}
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides).ClientConfig()
}
