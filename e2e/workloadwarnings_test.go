package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// controllers returns the kinds of workloads with their API versions and what their specs need besides a template.
func controllers() map[string][2]string {
	const selector = "selector: {matchLabels: {app: w}}"
	return map[string][2]string{
		"Deployment": {"apps/v1", selector}, "StatefulSet": {"apps/v1", selector + ", serviceName: w"},
		"DaemonSet": {"apps/v1", selector}, "ReplicaSet": {"apps/v1", selector},
		"Job": {"batch/v1", "backoffLimit: 1"}, "CronJob": {"batch/v1", "schedule: '* * * * *'"},
		"ReplicationController": {"v1", "replicas: 1"},
	}
}

// manifest returns a workload with annotations of its own and of its pod template, in flow style.
func manifest(kind, metadata, template string) string {
	versionAndSpec := controllers()[kind]
	policy := "Always"
	if strings.HasSuffix(kind, "Job") {
		policy = "Never"
	}
	pod := fmt.Sprintf("template: {metadata: {labels: {app: w}, annotations: {%s}}, spec: {restartPolicy: %s, "+
		"containers: [{name: app, image: 'registry.example.com/app:1'}]}}", template, policy)
	if kind == "CronJob" {
		pod = "jobTemplate: {spec: {" + pod + "}}"
	}
	return fmt.Sprintf("{apiVersion: %s, kind: %s, metadata: {name: w, %s}, spec: {%s, %s}}",
		versionAndSpec[0], kind, metadata, versionAndSpec[1], pod)
}

// TestWorkloadWarnings checks what kubectl prints about workloads with mistakes, with the manifests.
func TestWorkloadWarnings(t *testing.T) {
	t.Parallel()
	i := installManifests(t)
	i.start(i.pods(2))
	i.awaitInjection()
	const (
		good, bad = request + ": 'greeter:v1'", request + ": 'gretter:v1'"
		typo      = "Warning: sidecar injector: the pods would be admitted without sidecars: unknown_sidecar: annotation " +
			request + `: there is no sidecar "gretter:v1": did you mean greeter:v1?` + "\n"
	)
	i.await("the API server to invoke the webhook", func() error {
		if got := i.applyText(manifest("Deployment", "", bad), "--dry-run=server"); got != typo {
			return fmt.Errorf("got %q", got)
		}
		return nil
	})
	before := i.warned()
	path := map[string]string{"CronJob": "spec.jobTemplate.spec.template"}
	for kind := range controllers() {
		equal(t, kind+" with a typo", i.applyText(manifest(kind, "", bad), "--dry-run=server"), typo)
		if path[kind] == "" {
			path[kind] = "spec.template"
		}
		equal(t, kind+" with an annotation of its own",
			i.applyText(manifest(kind, "annotations: {"+good+"}", ""), "--dry-run=server"),
			fmt.Sprintf("Warning: sidecar injector: annotation %q is not on the pod template: put it into "+
				"%s.metadata.annotations\n", request, path[kind]))
		for what, text := range map[string]string{
			"without a mistake": manifest(kind, "", good), "without an annotation": manifest(kind, "", ""),
			"with a controller": manifest(kind, "ownerReferences: [{apiVersion: v1, kind: Node, name: one, uid: one, "+
				"controller: true}]", bad),
		} {
			equal(t, kind+" "+what, i.applyText(text, "--dry-run=server"), "")
		}
	}
	equal(t, "the number of reviews with a warning", i.warned()-before, float64(2*len(controllers())))
	i.checkUpdates(typo, good, bad)
}

// checkUpdates checks that only changes of the template or of its annotations get a warning.
func (i *installation) checkUpdates(typo, good, bad string) {
	i.Helper()
	t := i.T
	equal(t, "the first apply", i.applyText(manifest("Deployment", "", bad)), typo)
	i.awaitPod() // of a ReplicaSet, whose controller got no warning
	before := i.warned()
	equal(t, "the second apply", i.applyText(manifest("Deployment", "", bad)), "")
	equal(t, "a new label", i.applyText(manifest("Deployment", "labels: {a: b}", bad)), "")
	equal(t, "scaling", i.stderr("scale", "deployment/w", "--replicas=2"), "")
	equal(t, "a patch of the replicas", i.stderr("patch", "deployment/w", `--patch={"spec":{"replicas":3}}`), "")
	equal(t, "the number of reviews with a warning", i.warned(), before)
	equal(t, "a new template", i.stderr("set", "image", "deployment/w", "app=registry.example.com/app:2"), typo)
	equal(t, "a correction", i.applyText(manifest("Deployment", "", good)), "")
	equal(t, "a deletion", i.stderr("delete", "deployment/w"), "")
}

// applyText applies a manifest in the namespace of the test, and returns what kubectl prints on standard error.
func (i *installation) applyText(text string, flags ...string) string {
	i.Helper()
	file := filepath.Join(i.TempDir(), "manifest.yaml")
	must(i.T, os.WriteFile(file, []byte(text), 0o600))
	return i.stderr(append([]string{"apply", "--validate=strict", "-f", file}, flags...)...)
}

// stderr runs kubectl in the namespace of the test, and returns what it prints on standard error.
func (i *installation) stderr(args ...string) string {
	i.Helper()
	args = append([]string{"--kubeconfig=" + i.Kubeconfig, "--namespace=" + i.namespace}, args...)
	command := exec.CommandContext(i.Context(), filepath.Join(bin, "kubectl"), args...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	if err := command.Run(); err != nil {
		i.Fatalf("kubectl %q: %v\n%s", args, err, stderr.String())
	}
	return stderr.String()
}

// warned returns how many reviews of workloads got a warning.
func (i *installation) warned() (count float64) {
	i.Helper()
	for _, replica := range i.replicas {
		count += i.metric(replica, `sidecar_injector_workload_reviews_total{outcome="warned"}`)
	}
	return count
}
