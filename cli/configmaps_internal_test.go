package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func newConfigMapOptions(t *testing.T) *configMapOptions {
	t.Helper()
	o := new(configMapOptions)
	o.AddFlags(pflag.NewFlagSet("test", pflag.ContinueOnError))
	return o
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
		"no pod":      {file: filepath.Join(t.TempDir(), "missing"), err: "needs --configmap-namespace outside a pod"},
		"unreadable":  {file: t.TempDir(), err: "needs --configmap-namespace: read "},
		"pod invalid": {file: write(""), err: `--configmap-namespace: "": `},
		"invalid":     {flag: "a/b", err: `--configmap-namespace: "a/b": `},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newConfigMapOptions(t)
			o.namespace = test.flag
			got, err := o.resolveNamespace(test.file)
			if (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("got error %v, want %q", err, test.err)
			}
			if err == nil && got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestSelector(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"app=a", "app==a", "app", "!app", "app!=a", "app in (a, b)", "app notin (a),b=c"} {
		o := newConfigMapOptions(t)
		o.labels = text
		if selector, err := o.selector(); err != nil || selector.Empty() {
			t.Errorf("%q: got %v, %v", text, selector, err)
		}
	}
}
