package inspect_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/inspect"
)

const listDeployments = "/apis/apps/v1/deployments?labelSelector=app.kubernetes.io%2Fname%3Dsidecar-injector&limit=500"

// deployment returns a Deployment with a pod spec.
func deployment(namespace, name, spec string) string {
	return fmt.Sprintf(`{"metadata": {"namespace": %q, "name": %q}, "spec": {"template": {"spec": %s}}}`,
		namespace, name, spec)
}

func deploymentList(items ...string) string {
	return `{"kind": "DeploymentList", "metadata": {}, "items": [` + strings.Join(items, ", ") + `]}`
}

const oneContainer = `{"containers": [{"name": "main", "args": ["--on-unknown=deny"]}]}`

func TestFind(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		name      types.NamespacedName
		responses map[string]string
		want      string // the command
		err       string
	}{
		"one": {
			responses: map[string]string{listDeployments: deploymentList(deployment("a", "b", oneContainer))},
			want:      `["" "--on-unknown=deny"]`,
		},
		"none": {responses: map[string]string{listDeployments: deploymentList()}, err: inspect.ErrNoInstallation.Error()},
		"several": {
			responses: map[string]string{
				listDeployments: deploymentList(deployment("b", "x", oneContainer), deployment("a", "y", oneContainer)),
			},
			err: inspect.ErrSeveralInstallations.Error() + ": a/y, b/x",
		},
		"by name": {
			name:      types.NamespacedName{Namespace: "a", Name: "b"},
			responses: map[string]string{"/apis/apps/v1/namespaces/a/deployments/b": deployment("a", "b", oneContainer)},
			want:      `["" "--on-unknown=deny"]`,
		},
		"other container": {
			responses: map[string]string{listDeployments: deploymentList(deployment("a", "b",
				`{"containers": [{"name": "proxy"}, {"name": "injector", "command": ["entrypoint.sh"], "args": ["--v=3"]}]}`))},
			want: `["entrypoint.sh" "--v=3"]`,
		},
		"no container": {
			responses: map[string]string{listDeployments: deploymentList(deployment("a", "b",
				`{"containers": [{"name": "x"}, {"name": "y"}]}`))},
			err: "Deployment a/b has no container injector",
		},
		"references": {
			responses: map[string]string{listDeployments: deploymentList(deployment("a", "b", `{"containers": [{"name": "main",
				"env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "$(X)$$(X)$(NO)"},
					{"name": "NS", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}],
				"args": ["$(Y)", "$$(X)", "--configmap-namespace=$(NS)"]}]}`))},
			want: `["" "1$(X)$(NO)" "$(X)" "--configmap-namespace=a"]`,
		},
		"forbidden": {
			responses: map[string]string{listDeployments: forbidden},
			err: "cannot list deployments.apps in all namespaces: user may not: grant it with a ClusterRole that has the " +
				"verb list for deployments.apps",
		},
		"by name, not found": {
			name: types.NamespacedName{Namespace: "a", Name: "b"},
			err:  "cannot get deployments.apps/b in namespace a: no response for",
		},
		"not an API server": {
			responses: map[string]string{listDeployments: "<html>"},
			err:       "cannot list deployments.apps in all namespaces: the response is not from a Kubernetes API server",
		},
		"of another kind": {
			responses: map[string]string{listDeployments: `{"kind": "Deployment"}`},
			err:       "cannot list deployments.apps in all namespaces: the response is not from a Kubernetes API server",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, err := newClient(t, test.responses).Find(t.Context(), test.name)
			if test.err != "" {
				if err == nil || !strings.HasPrefix(err.Error(), test.err) {
					t.Errorf("got error %v, want %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprintf("%q", found.Command); got != test.want {
				t.Errorf("the command is %s, want %s", got, test.want)
			}
		})
	}
}

// TestUnknownVariables verifies that a variable from elsewhere is not read, and hides an earlier one.
func TestUnknownVariables(t *testing.T) {
	t.Parallel()
	client := newClient(t, map[string]string{listDeployments: deploymentList(deployment("a", "b",
		`{"containers": [{"name": "main", "env": [{"name": "X", "value": "1"},
			{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}, {"name": "Z", "value": "2"}]}]}`))})
	found, err := client.Find(t.Context(), types.NamespacedName{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(found.Unknown, []string{"X"}) || !maps.Equal(found.Environment, map[string]string{"Z": "2"}) {
		t.Errorf("got %v and unknown %v", found.Environment, found.Unknown)
	}
}

// TestSnapshot verifies that ConfigMaps are read by label and from mounted volumes.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	responses := map[string]string{
		"/api/v1/namespaces/defs/configmaps?labelSelector=app%3Dx&limit=500": `{"kind": "ConfigMapList", "metadata": {},
			"items": [{"metadata": {"namespace": "defs", "name": "m"}, "data": {"k": "name: labelled"}}]}`,
		"/api/v1/namespaces/a/configmaps/one": `{"data": {"a.yaml": "name: one", "b.txt": "x", ".c.yaml": "name: base",
			"d": "name: moved"}, "binaryData": {"e.yaml": "bmFtZTogYmluYXJ5"}}`,
		"/api/v1/namespaces/a/configmaps/secret": forbidden,
	}
	const all = "binary:latest,labelled:latest,one:latest"
	volume := func(volume, mount string) string {
		return `{"containers": [{"name": "main", "volumeMounts": [{"name": "v", ` + mount + `}]}],
			"volumes": [{"name": "v", ` + volume + `}]}`
	}
	const one = `"configMap": {"name": "one"}`
	for name, test := range map[string]struct{ spec, directory, want, err string }{
		"no directory":   {spec: oneContainer, want: "labelled:latest"},
		"ConfigMap":      {spec: volume(one, `"mountPath": "/defs/"`), directory: "/defs", want: all},
		"relative":       {spec: volume(one, `"mountPath": "/conf"`), directory: "conf/", want: all},
		"parent mounted": {spec: volume(one, `"mountPath": "/"`), directory: "/defs", want: "labelled:latest"},
		"mounted below":  {spec: volume(one, `"mountPath": "/defs/x"`), directory: "/defs", want: "labelled:latest"},
		"subPath": {
			spec:      volume(one, `"mountPath": "/defs/x.yaml", "subPath": "a.yaml"`),
			directory: "/defs", want: "labelled:latest,one:latest",
		},
		"projected": {
			spec:      volume(`"projected": {"sources": [{"configMap": {"name": "one"}}]}`, `"mountPath": "/defs"`),
			directory: "/defs", want: all,
		},
		"items": {
			spec: volume(`"configMap": {"name": "one", "items": [{"key": "d", "path": "s/d.yaml"}]}`,
				`"mountPath": "/defs"`),
			directory: "/defs/s", want: "labelled:latest,moved:latest",
		},
		"optional": {
			spec:      volume(`"configMap": {"name": "gone", "optional": true}`, `"mountPath": "/defs"`),
			directory: "/defs", want: "labelled:latest",
		},
		"missing": {
			spec: volume(`"configMap": {"name": "gone"}`, `"mountPath": "/defs"`), directory: "/defs",
			err: "Deployment a/b: cannot read the config directory /defs: cannot get configmaps/gone in namespace a: no",
		},
		"forbidden": {
			spec: volume(`"configMap": {"name": "secret"}`, `"mountPath": "/defs"`), directory: "/defs",
			err: "a Role that has the verb get for configmaps",
		},
		"other volume": {
			spec: volume(`"emptyDir": {}`, `"mountPath": "/defs"`), directory: "/defs",
			err: "config directory /defs: volume v is not a ConfigMap; pass a copy of it with --config-directory",
		},
		"other source": {
			spec:      volume(`"projected": {"sources": [{"secret": {"name": "s"}}]}`, `"mountPath": "/defs"`),
			directory: "/defs", err: "volume v has a source that is not a ConfigMap",
		},
		"in the image": {spec: oneContainer, directory: "/defs", err: "no ConfigMap is mounted there"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := maps.Clone(responses)
			all[listDeployments] = deploymentList(deployment("a", "b", test.spec))
			client := newClient(t, all)
			installation, err := client.Find(t.Context(), types.NamespacedName{})
			if err != nil {
				t.Fatal(err)
			}
			snapshot, err := client.Snapshot(t.Context(), installation, &inspect.Settings{
				Directory: test.directory, ConfigMapLabels: "app=x", ConfigMapNamespace: "defs",
			})
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got error %v, want %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var refs []string
			for s := range snapshot.Sidecars() {
				refs = append(refs, s.Ref.String())
			}
			if got := strings.Join(refs, ","); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// TestSnapshotOfDocuments verifies that documents replace the config directory.
func TestSnapshotOfDocuments(t *testing.T) {
	t.Parallel()
	snapshot, err := newClient(t, nil).Snapshot(t.Context(), nil, &inspect.Settings{
		Directory: "/nowhere", Documents: conf.OfFile("d", "a.yaml", []byte("name: x\n---\nname: y")),
	})
	if err != nil || snapshot.Len() != 2 {
		t.Errorf("got %d sidecars and error %v, want 2", snapshot.Len(), err)
	}
}
