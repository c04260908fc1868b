package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s-sidecar-injector/e2e/cluster"
)

// TestReport checks the report on a workload from before the webhook, one from before a change of the definition, and
// a current one, with the rights of the docs. Afterwards, it runs the printed commands.
func TestReport(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	id := s.identity()
	flags := s.configMapFlags(id)
	must(t, s.AddInstallation(t.Context(), s.namespace, "injector", flags[:2]))
	must(t, s.apply("a", sidecar("x", "one")))
	i := s.start(flags...)
	must(t, i.AwaitReady(t.Context()))

	s.createDeployment("missing", "app")
	s.register(i, nil)
	s.awaitContainers("x", "app,one")
	s.createDeployment("outdated", "app,one")
	must(t, s.apply("a", sidecar("x", "two")))
	s.awaitContainers("x", "app,two")
	s.createDeployment("current", "app,two")

	reader := s.reader()
	args := []string{"-n", s.namespace, "--kubeconfig=" + reader.Kubeconfig, "--injector=" + s.namespace + "/injector"}
	equal(t, "the report", s.report(append(args, "-o", "json")...),
		"current 1 current, missing 1 missing, outdated 1 outdated")
	lines := s.runReport(append(args, "--commands")...)
	for line := range strings.Lines(lines) {
		fields := strings.Fields(line)
		if len(fields) != 6 || fields[0] != "kubectl" || fields[5] != "--kubeconfig='"+reader.Kubeconfig+"'" {
			t.Fatalf("got command %s", line)
		}
		s.kubectl(fields[1:5]...) // the administrator may restart
	}
	s.await("the restarts", func() error {
		if got := s.report(append(args, "-o", "json")...); got != "current 1 current, missing 1 current, outdated 1 current" {
			return errors.New(got)
		}
		return nil
	})
}

// createDeployment creates a Deployment whose pod requests the sidecar x, and waits for a pod with these containers.
func (s *scene) createDeployment(name, want string) {
	s.Helper()
	labels := map[string]string{"app": name}
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{request: "x"}}, Spec: podSpec(),
	}
	// There is no kubelet, so a pod never becomes ready and must not keep the old one.
	_, err := s.client().AppsV1().Deployments(s.namespace).Create(s.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template,
			Strategy: appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType},
		},
	}, metav1.CreateOptions{})
	must(s.T, err)
	s.await("a pod of "+name, func() error {
		options := metav1.ListOptions{LabelSelector: "app=" + name}
		pods, err := s.client().CoreV1().Pods(s.namespace).List(s.Context(), options)
		if err == nil && (len(pods.Items) != 1 || containers(&pods.Items[0]) != want) {
			err = fmt.Errorf("got %d pods", len(pods.Items))
		}
		return err
	})
}

// reader creates a service account with the rights that docs/report.md lists for one namespace.
func (s *scene) reader() *cluster.Identity {
	s.Helper()
	must(s.T, s.account("reader"))
	meta := metav1.ObjectMeta{Name: "reader"}
	rule := func(group, verb string, resources ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: []string{verb}}
	}
	_, err := s.client().RbacV1().Roles(s.namespace).Create(s.Context(), &rbacv1.Role{
		ObjectMeta: meta,
		Rules: []rbacv1.PolicyRule{
			rule("", "list", "pods", "configmaps"), rule("apps", "list", "replicasets", "deployments"),
			rule("apps", "get", "deployments"), rule("batch", "list", "jobs"),
		},
	}, metav1.CreateOptions{})
	must(s.T, err)
	_, err = s.client().RbacV1().RoleBindings(s.namespace).Create(s.Context(), &rbacv1.RoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: s.namespace, Name: "reader"}},
	}, metav1.CreateOptions{})
	must(s.T, err)
	id, err := s.Identity(s.Context(), s.namespace, "reader")
	must(s.T, err)
	return id
}

// runReport runs the command report, and returns its output.
func (s *scene) runReport(args ...string) string {
	s.Helper()
	args = append([]string{"report"}, args...)
	command := exec.CommandContext(s.Context(), filepath.Join(bin, "k8s-sidecar-injector"), args...)
	var stderr strings.Builder
	command.Stderr = &stderr
	output, err := command.Output()
	if err != nil || stderr.Len() > 0 {
		s.Fatalf("report: %v\n%s", err, stderr.String())
	}
	return string(output)
}

// report returns the rows of a report as `NAME PODS STATE`.
func (s *scene) report(args ...string) string {
	s.Helper()
	var report struct {
		Items []struct {
			Kind, Workload, State string
			Pods                  int
		}
	}
	must(s.T, json.Unmarshal([]byte(s.runReport(args...)), &report))
	var rows []string
	for _, item := range report.Items {
		equal(s.T, "the kind", item.Kind, "Deployment")
		rows = append(rows, fmt.Sprintf("%s %d %s", item.Workload, item.Pods, item.State))
	}
	return strings.Join(rows, ", ")
}
