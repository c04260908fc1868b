package inspect_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/inspect"
	"k8s-sidecar-injector/mutate"
)

const listPods = "/api/v1/namespaces/n/pods?" +
	"fieldSelector=status.phase%21%3DSucceeded%2Cstatus.phase%21%3DFailed&limit=500"

// report returns the rows of a report on one page of pods.
func report(t *testing.T, pods ...string) []string {
	t.Helper()
	list := `{"kind": "PodList", "metadata": {}, "items": [` + strings.Join(pods, ", ") + `]}`
	client := newClient(t, map[string]string{listPods: list})
	settings := &inspect.Settings{
		Documents: conf.OfFile("d", "a.yaml", []byte("name: a\nhostNetwork: true\n---\nname: b\n")),
		Policy:    mutate.Policy{AnnotationNamespace: "x"},
	}
	snapshot, err := client.Snapshot(t.Context(), nil, settings)
	if err != nil {
		t.Fatal(err)
	}
	found, err := client.Report(t.Context(), snapshot, settings, inspect.Query{Namespace: "n"})
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, r := range found.Rows {
		rows = append(rows, fmt.Sprintf("%s/%s %d %s %s %s", r.Kind, r.Workload, r.Pods, r.Sidecar, r.State, r.Reason))
	}
	return rows
}

// pod returns a pod with annotations and containers.
func pod(annotations, containers string) string {
	return fmt.Sprintf(`{"metadata": {"namespace": "n", "name": "p", "annotations": {%s}}, "spec": {"containers": [%s]}}`,
		annotations, containers)
}

// TestReport has pods that the scripts of package cli do not have.
func TestReport(t *testing.T) {
	t.Parallel()
	const requestA = `"x/request": "a"`
	for name, test := range map[string]struct{ pod, want string }{
		"no spec": {
			`{"metadata": {"namespace": "n", "name": "p", "annotations": {"x/request": "a"}}}`, "a:latest missing",
		},
		"no metadata":         {`{}`, ""},
		"too many containers": {pod(requestA, strings.Repeat(`{"name": "c"}, `, 250)+"{}"), "a:latest refused bad_review"},
		"long request": {
			pod(`"x/request": "`+strings.Repeat("é!", 100)+`"`, ""),
			strings.Repeat("é!", 26) + "é… refused bad_request_annotation",
		},
		"malformed digest":   {pod(requestA+`, "x/injected": "a@\u001b[31m"`, ""), "a:latest missing"},
		"annotation twice":   {pod(requestA+`, "x/injected": "a@0123456789ab,a@0123456789ab"`, ""), "a:latest outdated"},
		"not injected twice": {pod(`"x/request": "a,a"`, ""), "a:latest missing"},
		"more requested": {
			pod(`"x/request": "b", "x/status": "injected"`, `{"name": "b"}`), "b:latest refused already_injected",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := "[]"
			if test.want != "" {
				want = "[Pod/p 1 " + test.want
			}
			if got := fmt.Sprint(report(t, test.pod)); !strings.HasPrefix(got, want) {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// TestExpired verifies that an expired list continues with newer objects, but not forever.
func TestExpired(t *testing.T) {
	t.Parallel()
	page := func(token string) string {
		return listDeployments[:strings.Index(listDeployments, "?")+1] + url.Values{
			"labelSelector": {"app.kubernetes.io/name=sidecar-injector"}, "limit": {"500"}, "continue": {token},
		}.Encode()
	}
	responses := map[string]string{
		listDeployments: `{"kind": "DeploymentList", "metadata": {"continue": "old"}, "items": []}`,
		page("old"):     expired,
		page("newer"):   deploymentList(deployment("a", "b", oneContainer)),
	}
	if found, err := newClient(t, responses).Find(t.Context(), types.NamespacedName{}); err != nil || found.Name != "b" {
		t.Errorf("got %v, %v", found, err)
	}
	responses[page("newer")] = expired
	if _, err := newClient(t, responses).Find(t.Context(), types.NamespacedName{}); err == nil {
		t.Error("the list expired twice, and there is no error")
	}
}
