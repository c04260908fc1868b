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

// group is the label of all namespaces of a test. Its value is the name of the first one.
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
	_, err = s.client().CoreV1().Namespaces().Patch(s.Context(), s.namespace, types.MergePatchType, patch,
		metav1.PatchOptions{})
	must(s.T, err)
}

// withoutRequest returns a pod without a request.
func withoutRequest(name string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: podSpec()}
}

// awaitWithoutRequest creates dry-run pods without a request until one has these containers.
func (s *scene) awaitWithoutRequest(want string) {
	s.Helper()
	s.await("a pod without a request to have "+want, func() error {
		stored, err := s.client().CoreV1().Pods(s.namespace).Create(s.Context(), withoutRequest("try"), dryRun())
		if err != nil {
			return err
		}
		if got := containers(stored); got != want {
			return fmt.Errorf("got %s", got)
		}
		return nil
	})
}

// startDefaults starts an injector with --namespace-defaults and these rights to namespaces, and
// registers it for the pods of all namespaces of the group.
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
	equal(t, "the containers of the Deployment's pod", containers(s.awaitPod()), "app,one")
	s.awaitLine(i, "review", "reason:namespace_default request:one requested_by:namespace")

	equal(t, "the containers of a pod with a request", containers(s.create(pod("own", "two"))), "app,two")
	s.awaitLine(i, "review", "reason:injected request:two requested_by:pod")
	equal(t, "the containers of a pod that opts out", containers(s.create(pod("none", "none"))), "app")
	equal(t, "the containers of a pod with an empty request", containers(s.create(pod("empty", ""))), "app")

	for _, step := range []struct {
		request *string
		want    string
	}{
		{new("two"), "app,two"},
		{new("none"), "app"},
		{new("one"), "app,one"},
		{nil, "app"},
		{new("two"), "app,two"},
		{new(""), "app"},
	} {
		s.annotate(step.request)
		s.awaitWithoutRequest(step.want)
	}
	equal(t, "the number of reviews with namespace_unavailable", countLines(t, i, "review", "namespace_unavailable"), 0)
}

// TestNamespaceCreatedWithItsFirstPod creates a pod before the injector may have received its namespace.
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
		// Pods need the account. A controller creates it too.
		if err := s.AddAccount(t.Context(), name, "default"); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
		there := &scene{T: t, Cluster: s.Cluster, namespace: name}
		equal(t, "the containers in namespace "+name, containers(there.create(withoutRequest("first"))), want)
	}
}

// TestNamespacesForbidden checks that pods are admitted unchanged, with a warning, without the rights to namespaces.
func TestNamespacesForbidden(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	s.annotate(new("one"))
	i := s.startDefaults()
	s.awaitLine(i, "cannot watch namespaces; known annotations stay in use",
		"grant it with a ClusterRole that has the verbs get, list and watch")
	client, warned := s.warned()
	stored, err := client.CoreV1().Pods(s.namespace).Create(t.Context(), withoutRequest("p"), metav1.CreateOptions{})
	must(t, err)
	equal(t, "the containers", containers(stored), "app")
	warned.expect(t, `the lookup of namespace "`+s.namespace+`" failed`)
	equal(t, "the containers of a pod with a request", containers(s.create(pod("own", "two"))), "app,two")

	must(t, s.GrantNamespaces(t.Context(), s.namespace, "injector", "get", "list", "watch"))
	must(t, i.AwaitReady(t.Context()))
	s.awaitWithoutRequest("app,one")
}

// TestNamespacesFetched checks that namespaces are fetched one by one if they cannot be listed.
func TestNamespacesFetched(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	s.annotate(new("one"))
	s.startDefaults("get")
	s.awaitWithoutRequest("app,one")
}

// TestNamespaceDefaultsInstalled checks that the chart registers a second webhook, which receives pods
// without a request from labelled namespaces only. Its caBundle is kept current and protected too.
func TestNamespaceDefaultsInstalled(t *testing.T) {
	t.Parallel()
	i := installChart(t, "sample=true", "namespaceDefaults.enabled=true")
	configurations := "list,patch,watch mutatingwebhookconfigurations,validatingwebhookconfigurations." +
		"admissionregistration.k8s.io " + home
	const namespaces = "get,list,watch namespaces. "
	i.checkRights(map[string][]string{
		home: {
			configurations,
			namespaces,
			"create,list,patch,update,watch secrets. " + home + "-tls",
			"list,watch configmaps. ",
		},
		metav1.NamespaceSystem: {configurations, namespaces},
	})
	i.checkGuard(2)
	i.start(i.pods(2))
	i.awaitInjection()
	i.annotate(new("greeter:v1"))
	i.label("sidecar-injector/defaults", "enabled")
	i.awaitWithoutRequest("app,greeter")
	equal(t, "the containers of a pod that opts out", containers(i.create(pod("none", "none"))), "app")

	mutating := i.client().AdmissionregistrationV1().MutatingWebhookConfigurations()
	configuration, err := mutating.Get(t.Context(), home, metav1.GetOptions{})
	must(t, err)
	bundles := make([]string, len(configuration.Webhooks))
	for n := range configuration.Webhooks {
		bundles[n] = string(configuration.Webhooks[n].ClientConfig.CABundle)
	}
	if len(bundles) != 2 || bundles[0] != bundles[1] || !strings.Contains(bundles[0], "BEGIN CERTIFICATE") {
		t.Errorf("got caBundles %q", bundles)
	}

	// Pods in other namespaces do not wait for the injector, even while it is down.
	_, err = mutating.Patch(t.Context(), home, types.JSONPatchType,
		[]byte(`[{"op":"replace","path":"/webhooks/1/failurePolicy","value":"Fail"}]`), metav1.PatchOptions{})
	must(t, err)
	elsewhere := newScene(t, i.Cluster)
	elsewhere.annotate(new("greeter:v1"))
	before := i.reviews()
	equal(t, "the containers of a pod elsewhere", containers(elsewhere.create(withoutRequest("p"))), "app")
	equal(t, "the number of reviews", i.reviews(), before)
	for _, replica := range i.replicas {
		replica.Kill()
	}
	equal(t, "the containers of a pod elsewhere, while no replica answers",
		containers(elsewhere.create(withoutRequest("q"))), "app")
	i.await("creations in the labelled namespace to fail", func() error {
		_, err := i.client().CoreV1().Pods(i.namespace).Create(t.Context(), withoutRequest("q"), dryRun())
		if err == nil || !strings.Contains(err.Error(), "failed calling webhook") {
			return fmt.Errorf("got %v", err) //nolint:errorlint // it may be nil
		}
		return nil
	})
}

// reviews returns the number of reviews that the replicas have answered.
func (i *installation) reviews() (sum float64) {
	i.Helper()
	for _, replica := range i.replicas {
		sum += i.metric(replica, "sidecar_injector_review_duration_seconds_count")
	}
	return sum
}
