package cli

import (
	"os"
	"path/filepath"
	"regexp"
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

// TestClusterValidate verifies that all flags that require an API server are reported, and that the files of a
// kubeconfig are read.
func TestClusterValidate(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "config")
	content := "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n" +
		"clusters: [{name: k, cluster: {server: 'https://127.0.0.1:1', certificate-authority: missing}}]\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	invalidURL := []string{"--master-url=ht tp://x"}
	for name, test := range map[string]struct {
		args       []string
		requiredBy map[string]bool
		want       string // a regular expression; "" means no error
	}{
		"not required": {args: invalidURL, requiredBy: map[string]bool{"a": false}},
		"outside cluster": {
			requiredBy: map[string]bool{"b": true, "a": true, "c": false},
			want:       "^--a needs --kubeconfig outside a cluster: .*\n  --b needs [^\n]*$",
		},
		"invalid URL": {args: invalidURL, requiredBy: map[string]bool{"a": true}, want: "^--master-url: [^\n]*$"},
		"valid URL":   {args: []string{"--master-url=http://x"}, requiredBy: map[string]bool{"a": true}},
		"all errors": {
			args: append(invalidURL, "--kubeconfig=missing"), requiredBy: map[string]bool{"a": true, "b": true},
			want: "^--master-url: .*\n  --kubeconfig: stat missing[^\n]*$",
		},
		"missing CA": {
			args: []string{"--kubeconfig", file}, requiredBy: map[string]bool{"a": true},
			want: "^--kubeconfig: .*missing",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
			o := new(clusterOptions)
			o.AddFlags(flags)
			if err := flags.Parse(test.args); err != nil {
				t.Fatal(err)
			}
			err := o.Validate(test.requiredBy)
			if (err != nil) != (test.want != "") || err != nil && !regexp.MustCompile(test.want).MatchString(err.Error()) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
