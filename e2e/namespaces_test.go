package e2e_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"k8s-sidecar-injector/e2e/cluster"
)

// group is the label of the namespaces of one test, with the name of its first namespace.
const group = "e2e/group"

// annotate sets the request of the namespace; nil removes it.
func (s *scene) annotate(asks *string) {
	s.Helper()
	s.patchNamespace(map[string]any{"annotations": map[string]any{request: asks}})
}

// label sets a label of the namespace.
func (s *scene) label(key, value string) {
	s.Helper()
	s.patchNamespace(map[string]any{"labels": map[string]any{key: value}})
}

func (s *scene) patchNamespace(metadata map[string]any) {
	s.Helper()
	patch, err := json.Marshal(map[string]any{"metadata": metadata})
	must(s.T, err)
	_, err = s.client().CoreV1().Namespaces().Patch(s.Context(), s.namespace, types.MergePatchType, patch, metav1.PatchOptions{})
	must(s.T, err)
}

// silent is a pod that does not ask.
func silent(name string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: podSpec()}
}

// awaitSilent makes dry-run pods that do not ask until one has these containers.
func (s *scene) awaitSilent(want string) {
	s.Helper()
	s.await("a pod that does not ask to have "+want, func() error {
		stored, err := s.client().CoreV1().Pods(s.namespace).Create(s.Context(), silent("try"), dryRun())
		if err != nil {
			return err
		}
		if got := containers(stored); got != want {
			return fmt.Errorf("it has %s", got)
		}
		return nil
	})
}

// startDefaults starts an injector that minds defaults, with these rights to namespaces, and has it
// asked about the pods of all namespaces of the group.
func (s *scene) startDefaults(verbs ...string) *cluster.Injector {
	s.Helper()
	id := s.identity()
	if len(verbs) > 0 {
		must(s.T, s.GrantNamespaces(s.Context(), s.namespace, "injector", verbs...))
	}
	s.label(group, s.namespace)
	i := s.start("--config-directory="+s.directory(sidecar("one", "one")+"---\n"+sidecar("two", "two")),
		"--namespace-defaults", "--kubeconfig="+id.Kubeconfig, "--log-level=debug")
	s.register(i, func(w *admissionregistrationv1.MutatingWebhook) {
		w.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{group: s.namespace}}
	})
	return i
}

func TestNamespaceDefaults(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	s.annotate(new("one"))
	i := s.startDefaults("get", "list", "watch")
	must(t, i.AwaitReady(t.Context()))

	labels := map[string]string{"app": "w"}
	_, err := s.client().AppsV1().Deployments(s.namespace).Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "w"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: podSpec()},
		},
	}, metav1.CreateOptions{})
	must(t, err)
	equal(t, "the list of the Deployment's containers", containers(s.awaitPod()), "app,one")
	s.awaitLine(i, "review", "reason:namespace_default request:one requested_by:namespace")

	equal(t, "the list of one that asks", containers(s.create(pod("own", "two"))), "app,two")
	s.awaitLine(i, "review", "reason:injected request:two requested_by:pod")
	equal(t, "the list of one that opts out", containers(s.create(pod("none", "none"))), "app")
	equal(t, "the list of one that asks for nothing", containers(s.create(pod("empty", ""))), "app")

	for _, step := range []struct {
		request *string
		want    string
	}{{new("two"), "app,two"}, {new("none"), "app"}, {new("one"), "app,one"}, {nil, "app"}, {new("two"), "app,two"}, {new(""), "app"}} {
		s.annotate(step.request)
		s.awaitSilent(step.want)
	}
	equal(t, "the number of namespaces that were not available", countLines(t, i, "review", "namespace_unavailable"), 0)
}

// The first pod of a namespace may come before the injector has heard of the namespace.
func TestNamespaceCreatedWithItsFirstPod(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	i := s.startDefaults("get", "list", "watch")
	must(t, i.AwaitReady(t.Context()))
	for n := range 15 {
		want, annotations := "app", map[string]string(nil)
		if n%3 != 0 {
			want, annotations = "app,one", map[string]string{request: "one"}
		}
		name := fmt.Sprintf("%s-%d", s.namespace, n)
		_, err := s.client().CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
			ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations, Labels: map[string]string{group: s.namespace}},
		}, metav1.CreateOptions{})
		must(t, err)
		// Without it, no pod is let in. A controller makes it too.
		if err := s.AddAccount(t.Context(), name, "default"); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
		there := &scene{T: t, Cluster: s.Cluster, namespace: name}
		equal(t, "the list of containers in namespace "+name, containers(there.create(silent("first"))), want)
	}
}

// Without the right to the namespaces, pods are admitted as they are, and told so.
func TestNamespacesForbidden(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	s.annotate(new("one"))
	i := s.startDefaults()
	s.awaitLine(i, "cannot watch namespaces; known annotations stay in use", "grant it with a ClusterRole that has the verbs get, list and watch")
	client, warned := s.warned()
	stored, err := client.CoreV1().Pods(s.namespace).Create(t.Context(), silent("p"), metav1.CreateOptions{})
	must(t, err)
	equal(t, "the list of its containers", containers(stored), "app")
	warned.expect(t, `the lookup of namespace "`+s.namespace+`" failed`)
	equal(t, "the list of one that asks", containers(s.create(pod("own", "two"))), "app,two")

	must(t, s.GrantNamespaces(t.Context(), s.namespace, "injector", "get", "list", "watch"))
	must(t, i.AwaitReady(t.Context()))
	s.awaitSilent("app,one")
}

// Who may get namespaces and not list them is told of each by its own.
func TestNamespacesAskedFor(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	s.annotate(new("one"))
	s.startDefaults("get")
	s.awaitSilent("app,one")
}

// With the chart, silent pods are sent to us from labelled namespaces only, by a webhook of their own,
// whose caBundle is kept and guarded like that of the first.
func TestNamespaceDefaultsInstalled(t *testing.T) {
	t.Parallel()
	i := installChart(t, "sample=true", "namespaceDefaults.enabled=true")
	configurations := "list,patch,watch mutatingwebhookconfigurations,validatingwebhookconfigurations.admissionregistration.k8s.io " + home
	const namespaces = "get,list,watch namespaces. "
	i.checkRights(map[string][]string{
		home:                   {configurations, namespaces, "create,list,patch,update,watch secrets. " + home + "-tls", "list,watch configmaps. "},
		metav1.NamespaceSystem: {configurations, namespaces},
	})
	i.checkGuard(2)
	i.start(i.pods(2))
	i.awaitInjection()
	i.annotate(new("greeter:v1"))
	i.label("sidecar-injector/defaults", "enabled")
	i.awaitSilent("app,greeter")
	equal(t, "the list of one that opts out", containers(i.create(pod("none", "none"))), "app")

	configuration, err := i.client().AdmissionregistrationV1().MutatingWebhookConfigurations().Get(t.Context(), home, metav1.GetOptions{})
	must(t, err)
	bundles := make([]string, len(configuration.Webhooks))
	for n := range configuration.Webhooks {
		bundles[n] = string(configuration.Webhooks[n].ClientConfig.CABundle)
	}
	if len(bundles) != 2 || bundles[0] != bundles[1] || !strings.Contains(bundles[0], "BEGIN CERTIFICATE") {
		t.Errorf("the caBundles are %q", bundles)
	}

	// Elsewhere nobody waits for us, even while we are away.
	_, err = i.client().AdmissionregistrationV1().MutatingWebhookConfigurations().Patch(t.Context(), home, types.JSONPatchType,
		[]byte(`[{"op":"replace","path":"/webhooks/1/failurePolicy","value":"Fail"}]`), metav1.PatchOptions{})
	must(t, err)
	elsewhere := newScene(t, i.Cluster)
	elsewhere.annotate(new("greeter:v1"))
	before := i.reviews()
	equal(t, "the list of one elsewhere", containers(elsewhere.create(silent("p"))), "app")
	equal(t, "the number of reviews", i.reviews(), before)
	for _, replica := range i.replicas {
		replica.Kill()
	}
	equal(t, "the list of one elsewhere, while nobody answers", containers(elsewhere.create(silent("q"))), "app")
	i.await("the labelled namespace to wait for an answer", func() error {
		_, err := i.client().CoreV1().Pods(i.namespace).Create(t.Context(), silent("q"), dryRun())
		if err == nil || !strings.Contains(err.Error(), "failed calling webhook") {
			return fmt.Errorf("a creation gives %v", err) //nolint:errorlint // it may be nil
		}
		return nil
	})
}

// reviews is how many the replicas have answered.
func (i *installation) reviews() (sum float64) {
	i.Helper()
	for _, replica := range i.replicas {
		sum += i.metric(replica, "sidecar_injector_review_duration_seconds_count")
	}
	return sum
}
