package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"k8s-sidecar-injector/e2e/cluster"
)

// bin is the directory of the programs that make cluster-bin builds.
const bin = ".bin"

// deadline bounds waits that usually take a second. The machine may be busy.
const deadline = 90 * time.Second

// request is the annotation that requests sidecars.
const request = "injector.tumblr.com/request"

// shared is the cluster of all tests that do not break it.
var shared *cluster.Cluster

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	if err := cluster.CheckPrograms(bin); err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp("", "e2e-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	shared, err = cluster.Start(context.Background(), bin, dir)
	if err != nil {
		return 1, err
	}
	defer shared.Stop()
	return m.Run(), nil
}

// startCluster starts a cluster for one test, which may break it.
func startCluster(t *testing.T) *cluster.Cluster {
	t.Helper()
	c, err := cluster.Start(t.Context(), bin, t.TempDir())
	must(t, err)
	t.Cleanup(c.Stop)
	return c
}

// scene is the namespace of a test in a cluster.
type scene struct {
	*testing.T
	*cluster.Cluster
	namespace string
}

// newScene creates a namespace, and waits until pods can be created in it.
func newScene(t *testing.T, c *cluster.Cluster) *scene {
	t.Helper()
	namespace, err := c.Client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"},
	}, metav1.CreateOptions{})
	must(t, err)
	must(t, c.AwaitNamespace(t.Context(), namespace.Name))
	return &scene{T: t, Cluster: c, namespace: namespace.Name}
}

// client returns the administrator's client.
func (s *scene) client() kubernetes.Interface { return s.Client }

// inject starts an injector that serves these definitions from a directory, and registers it for
// the pods of the namespace.
func (s *scene) inject(sidecars string, flags ...string) *cluster.Injector {
	s.Helper()
	i := s.start(append([]string{"--config-directory=" + s.directory(sidecars)}, flags...)...)
	must(s.T, i.AwaitReady(s.Context()))
	s.register(i, nil)
	return i
}

// directory writes definitions into a new config directory.
func (s *scene) directory(sidecars string) string {
	s.Helper()
	dir := s.TempDir()
	must(s.T, os.WriteFile(filepath.Join(dir, "sidecars.yaml"), []byte(sidecars), 0o600))
	return dir
}

// start starts an injector until the test ends. If the test fails, the log is printed.
func (s *scene) start(flags ...string) *cluster.Injector {
	s.Helper()
	i, err := s.StartInjector(s.Context(), flags...)
	must(s.T, err)
	s.Cleanup(func() {
		i.Kill()
		if s.Failed() {
			s.Logf("log of the injector, without skips:\n%s", withoutSkips(i.Log))
		}
	})
	return i
}

// withoutSkips returns a log without skipped reviews: tests create pods repeatedly until one is
// injected.
func withoutSkips(file string) string {
	log, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.SplitAfter(string(log), "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.Contains(line, `"outcome":"skipped"`) })
	return strings.Join(lines, "")
}

// register registers the injector for the pods of the namespace.
func (s *scene) register(i *cluster.Injector, change func(*admissionregistrationv1.MutatingWebhook)) {
	s.Helper()
	must(s.T, s.Register(s.Context(), i, s.namespace, change))
	s.Cleanup(func() {
		configurations := s.client().AdmissionregistrationV1().MutatingWebhookConfigurations()
		_ = configurations.Delete(context.Background(), s.namespace, metav1.DeleteOptions{})
	})
}

// registerValidating registers the injector for the labelled ConfigMaps of the namespace.
func (s *scene) registerValidating(i *cluster.Injector) {
	s.Helper()
	must(s.T, s.RegisterValidating(s.Context(), i, s.namespace, labelled()))
	s.Cleanup(func() {
		configurations := s.client().AdmissionregistrationV1().ValidatingWebhookConfigurations()
		_ = configurations.Delete(context.Background(), s.namespace, metav1.DeleteOptions{})
	})
}

// labelled returns the labels that configMapFlags select.
func labelled() map[string]string { return map[string]string{"app": "k8s-sidecar-injector"} }

// identity creates a service account in the namespace with exactly the rights that the injector needs.
func (s *scene) identity() *cluster.Identity {
	s.Helper()
	must(s.T, s.account("injector"))
	s.grant()
	id, err := s.Identity(s.Context(), s.namespace, "injector")
	must(s.T, err)
	return id
}

// account creates a service account.
func (s *scene) account(name string) error {
	return s.AddAccount(s.Context(), s.namespace, name)
}

// grant grants the service account injector the right to list and watch ConfigMaps.
func (s *scene) grant() {
	s.Helper()
	must(s.T, s.Grant(s.Context(), s.namespace, s.namespace, "injector"))
}

// configMapFlags returns flags to read the labelled ConfigMaps of the namespace.
func (s *scene) configMapFlags(id *cluster.Identity) []string {
	return []string{
		"--configmap-labels=app=k8s-sidecar-injector",
		"--configmap-namespace=" + s.namespace,
		"--kubeconfig=" + id.Kubeconfig,
	}
}

// apply creates or replaces a labelled ConfigMap with one key.
func (s *scene) apply(name, definition string) error {
	configMap := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labelled()},
		Data:       map[string]string{"sidecar.yaml": definition},
	}
	configMaps := s.client().CoreV1().ConfigMaps(s.namespace)
	if _, err := configMaps.Get(s.Context(), name, metav1.GetOptions{}); err == nil {
		_, err = configMaps.Update(s.Context(), configMap, metav1.UpdateOptions{})
		return err
	}
	_, err := configMaps.Create(s.Context(), configMap, metav1.CreateOptions{})
	return err
}

// pod returns a pod that requests a sidecar.
func pod(name, asks string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{request: asks}},
		Spec:       podSpec(),
	}
}

func podSpec() corev1.PodSpec {
	return corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "registry.example.com/app:1"}}}
}

// create creates a pod and returns it as stored.
func (s *scene) create(p *corev1.Pod) *corev1.Pod {
	s.Helper()
	stored, err := s.client().CoreV1().Pods(s.namespace).Create(s.Context(), p, metav1.CreateOptions{})
	must(s.T, err)
	return stored
}

// containers returns the names of a pod's containers.
func containers(p *corev1.Pod) string {
	var names []string
	for _, c := range p.Spec.Containers {
		names = append(names, c.Name)
	}
	return strings.Join(names, ",")
}

// awaitContainers creates dry-run pods that request a sidecar until one has these containers.
func (s *scene) awaitContainers(asks, want string) {
	s.Helper()
	s.await("a pod that requests "+asks+" to have "+want, func() error {
		p := pod("", asks)
		p.GenerateName = "try-"
		stored, err := s.client().CoreV1().Pods(s.namespace).Create(s.Context(), p, dryRun())
		if err != nil {
			return err
		}
		if got := containers(stored); got != want {
			return fmt.Errorf("got %s", got)
		}
		return nil
	})
}

// await polls until the function returns nil.
func (s *scene) await(what string, try func() error) {
	s.Helper()
	s.awaitFor(deadline, what, try)
}

// awaitFor is await with a timeout.
func (s *scene) awaitFor(most time.Duration, what string, try func() error) {
	s.Helper()
	limit := time.After(most)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-limit:
			s.Fatalf("timed out waiting for %s: %v", what, err)
		case <-tick.C:
		}
	}
}

// awaitLine waits for a log line with this message and with the text in its fields.
func (s *scene) awaitLine(i *cluster.Injector, message, text string) {
	s.Helper()
	s.await(fmt.Sprintf("a log line %q with %q", message, text), func() error {
		if countLines(s.T, i, message, text) == 0 {
			return errors.New("not logged")
		}
		return nil
	})
}

// countLines counts the log lines with this message and with the text in their fields.
func countLines(t *testing.T, i *cluster.Injector, message, text string) int {
	t.Helper()
	lines, err := i.Lines()
	must(t, err)
	count := 0
	for _, line := range lines {
		if line["message"] == message && strings.Contains(fmt.Sprint(line), text) {
			count++
		}
	}
	return count
}

// metric returns the value of a series of the injector.
func (s *scene) metric(i *cluster.Injector, series string) float64 {
	s.Helper()
	value, err := i.Metric(s.Context(), series)
	must(s.T, err)
	return value
}

func dryRun() metav1.CreateOptions {
	return metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// has reports whether a container has a mount at the path.
func has(c *corev1.Container, path string) bool {
	return slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == path })
}
