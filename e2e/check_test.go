package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s-sidecar-injector/e2e/cluster"
)

// checkResult is the JSON of the command check.
type checkResult struct {
	Checks []struct{ Name, Status, Message string }
	OK     bool
}

// check runs the command as if it ran in the cluster. It returns all results by name, as `STATUS: MESSAGE`.
func (s *scene) check(args ...string) map[string]string {
	s.Helper()
	args = append([]string{"check", "--output=json", "--namespace=" + s.namespace}, args...)
	command := exec.CommandContext(s.Context(), filepath.Join(bin, "k8s-sidecar-injector"), args...)
	command.Env = append(os.Environ(), "KUBERNETES_SERVICE_HOST=127.0.0.1")
	output, err := command.Output()
	var result checkResult
	if decodeErr := json.Unmarshal(output, &result); decodeErr != nil {
		s.Fatalf("%v: %v\n%s", decodeErr, err, output)
	}
	if result.OK != (err == nil) {
		s.Errorf("ok is %v, and the exit code is %v", result.OK, err)
	}
	results := make(map[string]string)
	for _, check := range result.Checks {
		results[check.Name] = check.Status + ": " + check.Message
	}
	return results
}

// passes returns an error unless all checks pass, but for those that need the network of pods.
func passes(results map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(results)) {
		unreachable := strings.HasPrefix(results[name], "skipped: the replicas cannot be read")
		if !strings.HasPrefix(results[name], "ok: ") && !unreachable {
			return fmt.Errorf("%s: %s", name, results[name])
		}
	}
	return nil
}

// TestCheck checks the manifests before and after they are applied, and with a caBundle of another CA.
func TestCheck(t *testing.T) {
	t.Parallel()
	s := newScene(t, startCluster(t))
	admin := "--kubeconfig=" + s.Kubeconfig
	must(t, passes(s.check("--pre", admin)))

	s.kubectl("apply", "--validate=strict", "-f", "../deploy/install.yaml")
	i := s.installed()
	pods := i.pods(2)
	i.start(pods)
	for n := range pods {
		i.markReady(&pods[n])
	}
	i.awaitInjection()
	reader := "--kubeconfig=" + i.checker().Kubeconfig
	i.await("all checks to pass", func() error { return passes(i.check(reader)) })
	if got := i.check("--pre", admin)["other-injectors"]; !strings.HasPrefix(got, "warning: ") {
		t.Errorf("other-injectors: %s", got)
	}

	// The replicas repair the caBundle as long as they may.
	i.kubectl("delete", "clusterrolebinding", home)
	i.awaitCheck("permissions", "failed: service account "+home+"/"+home+" may not list mutatingwebhookconfigurations")
	i.setBundle(i.replicas[0].CA) // of the cluster
	i.awaitCheck("certificate-trusted",
		"failed: "+home+"/pods."+home+"."+home+".svc does not trust the certificate served at")
	i.awaitCheck("webhook-called", "failed: the API server created a trial pod")

	// The safety net warns.
	i.run("kubectl", "--kubeconfig="+i.Kubeconfig, "run", "web", "--namespace="+i.namespace, "--image=web",
		"--annotations=injector.tumblr.com/request=logger")
	i.kubectl("patch", "mutatingwebhookconfiguration", home, "--type=json",
		`--patch=[{"op": "add", "path": "/webhooks/0/objectSelector", "value": {"matchLabels": {"a": "b"}}}]`)
	i.awaitCheck("webhook-selectors", "warning: the selectors exclude pods that request sidecars, in namespaces: "+
		i.namespace)
	i.awaitCheck("webhook-called", "skipped: the objectSelector of the webhook excludes the trial pod")
}

// checker creates a service account with exactly the permissions in the docs.
func (i *installation) checker() *cluster.Identity {
	i.Helper()
	must(i.T, i.account("checker"))
	rule := func(group, verb string, resources ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: []string{verb}}
	}
	everywhere := []rbacv1.PolicyRule{
		rule("apps", "list", "deployments"), rule("", "list", "namespaces"),
		rule("admissionregistration.k8s.io", "list", "mutatingwebhookconfigurations", "validatingwebhookconfigurations"),
		rule("authorization.k8s.io", "create", "subjectaccessreviews"),
	}
	for namespace, rules := range map[string][]rbacv1.PolicyRule{
		home: {
			rule("", "list", "services", "pods", "configmaps"), rule("discovery.k8s.io", "list", "endpointslices"),
			rule("policy", "list", "poddisruptionbudgets"), rule("", "get", "pods/proxy"),
		},
		i.namespace: {rule("", "create", "pods")},
	} {
		i.bindRole(namespace, rules)
	}
	meta := metav1.ObjectMeta{Name: "checker"}
	rbac := i.client().RbacV1()
	_, err := rbac.ClusterRoles().Create(i.Context(), &rbacv1.ClusterRole{ObjectMeta: meta, Rules: everywhere},
		metav1.CreateOptions{})
	must(i.T, err)
	_, err = rbac.ClusterRoleBindings().Create(i.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: meta.Name},
		Subjects: i.checkerSubjects(),
	}, metav1.CreateOptions{})
	must(i.T, err)
	id, err := i.Identity(i.Context(), i.namespace, meta.Name)
	must(i.T, err)
	return id
}

// bindRole grants the checker rules in a namespace.
func (i *installation) bindRole(namespace string, rules []rbacv1.PolicyRule) {
	i.Helper()
	meta := metav1.ObjectMeta{Name: "checker"}
	rbac := i.client().RbacV1()
	_, err := rbac.Roles(namespace).Create(i.Context(), &rbacv1.Role{ObjectMeta: meta, Rules: rules},
		metav1.CreateOptions{})
	must(i.T, err)
	_, err = rbac.RoleBindings(namespace).Create(i.Context(), &rbacv1.RoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
		Subjects: i.checkerSubjects(),
	}, metav1.CreateOptions{})
	must(i.T, err)
}

func (i *installation) checkerSubjects() []rbacv1.Subject {
	return []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: i.namespace, Name: "checker"}}
}

// awaitCheck waits until a check has a result with the prefix.
func (i *installation) awaitCheck(name, want string) {
	i.Helper()
	i.await("check "+name, func() error {
		if got := i.check("--kubeconfig=" + i.Kubeconfig)[name]; !strings.HasPrefix(got, want) {
			return errors.New(got)
		}
		return nil
	})
}

// markReady schedules a pod and writes its status, as a kubelet does. Nothing has its address.
func (i *installation) markReady(pod *corev1.Pod) {
	i.Helper()
	binding := &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: pod.Name}, Target: corev1.ObjectReference{Kind: "Node", Name: "node-1"},
	}
	must(i.T, i.client().CoreV1().Pods(pod.Namespace).Bind(i.Context(), binding, metav1.CreateOptions{}))
	pod, err := i.client().CoreV1().Pods(pod.Namespace).Get(i.Context(), pod.Name, metav1.GetOptions{})
	must(i.T, err)
	pod.Status.Phase, pod.Status.PodIP = corev1.PodRunning, "192.0.2.1"
	pod.Status.PodIPs = []corev1.PodIP{{IP: pod.Status.PodIP}}
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	_, err = i.client().CoreV1().Pods(pod.Namespace).UpdateStatus(i.Context(), pod, metav1.UpdateOptions{})
	must(i.T, err)
}
