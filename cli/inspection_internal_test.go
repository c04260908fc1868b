package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"k8s-sidecar-injector/inspect"
)

// TestReadSettings verifies that the flags and variables of an installation are read as by the daemon.
func TestReadSettings(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		command     []string
		environment map[string]string
		unknown     []string
		own         []string // flags of the command
		want        string
		report      string
	}{
		"chart": {
			command: []string{
				"", "--configmap-labels=app=x", "--configmap-namespace=defs", "--namespace-defaults",
				"--annotation-namespace=example.com", "--on-unknown=deny", "--ignored-namespaces=a,b", "--self-managed-tls",
			},
			want: "dir= labels=app=x namespace=defs defaults=true annotation=example.com ignored=[a b] unknown=deny",
		},
		"defaults": {
			command: []string{"/bin/k8s-sidecar-injector", "--configmap-labels", "app=x"},
			want: "dir= labels=app=x namespace=home defaults=false annotation=injector.tumblr.com " +
				"ignored=[kube-system kube-public kube-node-lease] unknown=admit",
		},
		"entrypoint": {
			command: []string{"entrypoint.sh"}, environment: map[string]string{"CONFIG_DIR": "conf/", "ON_UNKNOWN": "deny"},
			want: "dir= labels=app=k8s-sidecar-injector namespace=home defaults=false annotation=injector.tumblr.com " +
				"ignored=[kube-system kube-public kube-node-lease] unknown=deny",
		},
		"entry point of the image": {
			command: []string{"", "--log-level=debug"},
			want:    "dir= labels=app=k8s-sidecar-injector namespace=home ",
		},
		"newer flags, overridden": {
			command:     []string{"", "--new-flag=x", "--config-directory=/x"},
			environment: map[string]string{"IGNORED_NAMESPACES": "a"},
			unknown:     []string{"CONFIGMAP_LABELS", "ON_UNKNOWN", "TLS_CERT_FILE", "NOT_OURS"},
			own:         []string{"--configmap-labels=app=mine", "--configmap-namespace=b"},
			want: "dir=/x labels=app=mine namespace=b defaults=false annotation=injector.tumblr.com " +
				"ignored=[a] unknown=admit",
			report: "warning: Deployment home/injector: the value of variable ON_UNKNOWN is not in the Deployment, so the " +
				"default of --on-unknown is used\n",
		},
		"invalid": {
			command: []string{"", "--on-unknown=x"},
			want:    `Deployment home/injector: --on-unknown: "x" is neither admit nor deny`,
		},
		"shell": {
			command: []string{"/bin/sh", "-c", "x"},
			want:    `Deployment home/injector: its command is "/bin/sh", not k8s-sidecar-injector, so its flags are unknown`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, flags := new(inspectionOptions), pflag.NewFlagSet("test", pflag.ContinueOnError)
			o.AddFlags(flags)
			if err := flags.Parse(test.own); err != nil {
				t.Fatal(err)
			}
			var report bytes.Buffer
			s, err := o.readSettings(&flagErrors{flags: flags}, &inspect.Installation{
				Namespace: "home", Name: "injector",
				Command: test.command, Environment: test.environment, Unknown: test.unknown,
			}, &report)
			got := fmt.Sprint(err)
			if err == nil {
				got = fmt.Sprintf("dir=%s labels=%s namespace=%s defaults=%v annotation=%s ignored=%v unknown=%s",
					s.Directory, s.ConfigMapLabels, s.ConfigMapNamespace, s.NamespaceDefaults,
					s.Policy.AnnotationNamespace, s.Policy.IgnoredNamespaces, s.Policy.OnUnknown)
			}
			if !strings.HasPrefix(got, test.want) {
				t.Errorf("got %s\nwant %s", got, test.want)
			}
			if report.String() != test.report {
				t.Errorf("got report %q, want %q", report.String(), test.report)
			}
		})
	}
}
