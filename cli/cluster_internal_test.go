package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestKubeconfigList verifies that missing files of a list are skipped, as by kubectl.
func TestKubeconfigList(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "config")
	content := "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n" +
		"clusters: [{name: k, cluster: {server: 'https://127.0.0.1:1'}}]\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	o := new(clusterOptions)
	o.AddFlags(pflag.NewFlagSet("test", pflag.ContinueOnError))
	o.kubeconfig = "missing" + string(os.PathListSeparator) + file
	config, err := o.newConfig()
	if err != nil || config.Host != "https://127.0.0.1:1" {
		t.Errorf("got %+v, %v", config, err)
	}
	o.masterURL = "https://127.0.0.1:2"
	config, err = o.newConfig()
	if err != nil || config.Host != "https://127.0.0.1:2" {
		t.Errorf("with --master-url: got %+v, %v", config, err)
	}
}

// TestClusterComplete verifies that all flags that require an API server are reported, and that the files of a
// kubeconfig are read.
func TestClusterComplete(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "config")
	content := "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n" +
		"clusters: [{name: k, cluster: {server: 'https://127.0.0.1:1', certificate-authority: missing}}]\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args []string
		want string // a regular expression; "" means no error
	}{
		"not required": {args: []string{"--master-url=ht tp://x", "--namespace-defaults=false"}},
		"outside cluster": {
			args: []string{"--namespace-defaults", "--configmap-labels=a", "--configmap-namespace=b"},
			want: "^--configmap-labels needs --kubeconfig outside a cluster: .*\n  --namespace-defaults needs [^\n]*$",
		},
		"invalid URL": {args: []string{"--namespace-defaults", "--master-url=ht tp://x"}, want: "^--master-url: [^\n]*$"},
		"valid URL":   {args: []string{"--namespace-defaults", "--master-url=http://x"}},
		"all errors": {
			args: []string{"--namespace-defaults", "--master-url=ht tp://x", "--kubeconfig=missing"},
			want: "^--master-url: .*\n  --kubeconfig: stat missing[^\n]*$",
		},
		"missing CA": {args: []string{"--namespace-defaults", "--kubeconfig", file}, want: "^--kubeconfig: .*missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := completeCluster(t, "", test.args...)
			if (err != nil) != (test.want != "") || err != nil && !regexp.MustCompile(test.want).MatchString(err.Error()) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// completeCluster returns the options of a command line. The file contains the namespace of the pod.
func completeCluster(t *testing.T, file string, args ...string) (*clusterOptions, error) {
	t.Helper()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	o := new(clusterOptions)
	o.AddFlags(flags)
	o.podNamespaceFile = file
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	e := &flagErrors{flags: flags}
	o.Complete(e)
	return o, e.err()
}

// TestConfigMapNamespace verifies that the namespace of the pod is the default.
func TestConfigMapNamespace(t *testing.T) {
	t.Parallel()
	write := func(content string) string {
		file := filepath.Join(t.TempDir(), "namespace")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for name, test := range map[string]struct{ flag, file, want, err string }{
		"flag":        {flag: "sidecars", file: write("own"), want: "sidecars"},
		"pod":         {file: write("own\n"), want: "own"},
		"no pod":      {file: "missing", err: "needs --configmap-namespace outside a pod: open missing: "},
		"unreadable":  {file: t.TempDir(), err: "needs --configmap-namespace outside a pod: read "},
		"pod invalid": {file: write(""), err: `--configmap-namespace: "": `},
		"invalid":     {flag: "a/b", err: `--configmap-namespace: "a/b": `},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, err := completeCluster(t, test.file, "--configmap-labels=a", "--configmap-namespace="+test.flag,
				"--master-url=http://x")
			if (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("got error %v, want %q", err, test.err)
			}
			if err == nil && o.configMapNamespace != test.want {
				t.Errorf("got %q, want %q", o.configMapNamespace, test.want)
			}
		})
	}
}

func TestSelector(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"app=a", "app==a", "app", "!app", "app!=a", "app in (a, b)", "app notin (a),b=c"} {
		o, err := completeCluster(t, "", "--configmap-labels="+text, "--configmap-namespace=b", "--master-url=http://x")
		if err != nil || o.selector.Empty() {
			t.Errorf("%q: got %v, %v", text, o.selector, err)
		}
	}
}
