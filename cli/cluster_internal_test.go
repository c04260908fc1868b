package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/pflag"
)

// A list of files is read as kubectl reads it: those that are missing are passed over.
func TestKubeconfigList(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "config")
	content := "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n" +
		"clusters: [{name: k, cluster: {server: 'https://127.0.0.1:1'}}]\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	c := new(clusterFlags)
	c.define(newFlagSet(pflag.NewFlagSet("test", pflag.ContinueOnError)))
	c.kubeconfig = "missing" + string(os.PathListSeparator) + file
	config, err := c.restConfig("configmap-labels")
	if err != nil || config.Host != "https://127.0.0.1:1" {
		t.Errorf("%+v, %v", config, err)
	}
	c.masterURL = "https://127.0.0.1:2"
	config, err = c.restConfig("configmap-labels")
	if err != nil || config.Host != "https://127.0.0.1:2" {
		t.Errorf("with --master-url: %+v, %v", config, err)
	}
}
