package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// newConfigMapFlags is what a command line without any of them gives.
func newConfigMapFlags(t *testing.T) *configMapFlags {
	t.Helper()
	c := new(configMapFlags)
	c.define(newFlagSet(pflag.NewFlagSet("test", pflag.ContinueOnError)))
	return c
}

// The namespace of the pod counts where none is given.
func TestTheirNamespace(t *testing.T) {
	t.Parallel()
	write := func(content string) string {
		file := filepath.Join(t.TempDir(), "namespace")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for name, test := range map[string]struct{ given, file, want, err string }{
		"given":        {given: "sidecars", file: write("own"), want: "sidecars"},
		"own":          {file: write("own\n"), want: "own"},
		"no pod":       {file: filepath.Join(t.TempDir(), "missing"), err: "--configmap-namespace"},
		"unreadable":   {file: t.TempDir(), err: "give --configmap-namespace"},
		"own is empty": {file: write(""), err: "namespace: \"\": "},
		"wrong":        {given: "a/b", err: `--configmap-namespace: "a/b": `},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newConfigMapFlags(t)
			c.namespace = test.given
			got, err := c.theirNamespace(test.file)
			if got != test.want || (err != nil) != (test.err != "") || (err != nil && !strings.Contains(err.Error(), test.err)) {
				t.Errorf("%q, %v; want %q, %q", got, err, test.want, test.err)
			}
		})
	}
}

func TestSelector(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"app=a", "app==a", "app", "!app", "app!=a", "app in (a, b)", "app notin (a),b=c"} {
		c := newConfigMapFlags(t)
		c.labels = text
		if selector, err := c.selector(); err != nil || selector.Empty() {
			t.Errorf("%q: %v, %v", text, selector, err)
		}
	}
}
