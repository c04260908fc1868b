package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"k8s-sidecar-injector/e2e/cluster"
)

// follow starts an injector that watches the ConfigMaps of the namespace, and registers it for its
// pods.
func (s *scene) follow(flags ...string) *cluster.Injector {
	s.Helper()
	i := s.start(append(s.configMapFlags(s.identity()), flags...)...)
	must(s.T, i.AwaitReady(s.Context()))
	s.register(i, nil)
	return i
}

// sidecar returns a definition with one container of that name.
func sidecar(ref, container string) string {
	return fmt.Sprintf("name: %s\ncontainers: [{name: %s, image: i}]\n", ref, container)
}

func (s *scene) remove(name string) {
	s.Helper()
	must(s.T, s.client().CoreV1().ConfigMaps(s.namespace).Delete(s.Context(), name, metav1.DeleteOptions{}))
}

// edit changes a ConfigMap.
func (s *scene) edit(name string, change func(*corev1.ConfigMap)) error {
	configMaps := s.client().CoreV1().ConfigMaps(s.namespace)
	configMap, err := configMaps.Get(s.Context(), name, metav1.GetOptions{})
	must(s.T, err)
	change(configMap)
	_, err = configMaps.Update(s.Context(), configMap, metav1.UpdateOptions{})
	return err
}

func TestConfigMapLifecycle(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	i := s.follow()
	s.awaitLine(i, "no ConfigMap in this namespace matches the label selector", s.namespace)

	must(t, s.apply("a", sidecar("x", "one")))
	s.awaitContainers("x", "app,one")
	must(t, s.apply("a", sidecar("x", "two")))
	s.awaitContainers("x", "app,two")

	must(t, s.edit("a", func(c *corev1.ConfigMap) { c.Labels = map[string]string{"app": "else"} }))
	s.awaitContainers("x", "app")
	must(t, s.edit("a", func(c *corev1.ConfigMap) { c.Labels = labelled() }))
	s.awaitContainers("x", "app,two")

	must(t, s.edit("a", func(c *corev1.ConfigMap) {
		c.Data["more"] = sidecar("w", "three") + "---\n" + sidecar("z", "four")
	}))
	s.awaitContainers("z", "app,four")
	must(t, s.edit("a", func(c *corev1.ConfigMap) { delete(c.Data, "more") }))
	s.awaitContainers("w", "app")
	s.awaitContainers("z", "app")

	s.remove("a")
	s.awaitContainers("x", "app")
}

// TestConfigMapBadKeys checks that an invalid key does not affect other keys, and is logged once.
func TestConfigMapBadKeys(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	i := s.follow()
	_, err := s.client().CoreV1().ConfigMaps(s.namespace).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "mixed", Labels: labelled()},
		Data: map[string]string{
			"good":  sidecar("x", "one"),
			"empty": "",
			"bytes": "\x00\xff\x1b[31m",
			"path":  "name: p\ninherits: base.yaml\n",
		},
		BinaryData: map[string][]byte{"binary": {0, 255}},
	}, metav1.CreateOptions{})
	must(t, err)
	s.awaitContainers("x", "app,one")
	for key, why := range map[string]string{
		"empty": "has no document", "bytes": "", "path": "inherits by ref only", "binary": "is binaryData",
	} {
		s.awaitLine(i, "document rejected", "configmap "+s.namespace+"/mixed["+key+"]")
		s.awaitLine(i, "document rejected", why)
	}
	equal(t, "the number of rejections", s.metric(i, "sidecar_injector_snapshot_rejections"), 4)
}

func TestFilesAndConfigMaps(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	i := s.follow("--config-directory=" + s.directory(sidecar("x", "file")+"---\nname: heir\ninherits: from-map\n"))
	must(t, s.apply("a", sidecar("from-map", "map")+"---\nname: child\ninherits: x\n"))
	s.awaitContainers("heir", "app,map")
	s.awaitContainers("child", "app,file")
	must(t, s.apply("b", sidecar("x", "usurper")))
	s.awaitLine(i, "document rejected", "defined first by file")
	s.awaitContainers("x", "app,file")
}

func TestSelectors(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	id := s.identity()
	for name, labels := range map[string]map[string]string{
		"one": {"app": "a"}, "two": {"app": "b", "team": "x"}, "three": {"app": "c"},
	} {
		_, err := s.client().CoreV1().ConfigMaps(s.namespace).Create(t.Context(), &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
			Data:       map[string]string{"k": sidecar(name, name)},
		}, metav1.CreateOptions{})
		must(t, err)
	}
	for selector, want := range map[string]float64{
		"app in (a, b)":       2,
		"app,team!=x":         2,
		"app notin (a),!team": 1,
		"app=a":               1,
	} {
		i := s.start("--configmap-labels="+selector, "--configmap-namespace="+s.namespace, "--kubeconfig="+id.Kubeconfig)
		must(t, i.AwaitReady(t.Context()))
		equal(t, "the number of sidecars of "+selector, s.metric(i, "sidecar_injector_snapshot_sidecars"), want)
	}
}

func TestNamespaceThatDoesNotExist(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	i := s.start("--configmap-labels=app", "--configmap-namespace=nowhere", "--kubeconfig="+s.Kubeconfig)
	must(t, i.AwaitReady(t.Context()))
	s.awaitLine(i, "no ConfigMap in this namespace matches the label selector", "nowhere")
}

// TestValidate registers the validating webhook and tries valid and invalid changes.
func TestValidate(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	must(t, s.apply("bad-before", "name: bad\nnonsense: 1\n"))
	i := s.follow()
	s.registerValidating(i)
	must(t, s.apply("base", sidecar("base", "one")))
	must(t, s.apply("heir", "name: heir\ninherits: base\n")) // at once, before the injector may have received the base

	for definition, want := range map[string]string{
		"name: [":                              "yaml",
		"name: x\nnonsense: 1\n":               "nonsense: Forbidden: unknown field",
		sidecar("base", "two"):                 `name: Duplicate value: "base:latest": defined`,
		"name: x\ninherits: none\n":            "no sidecar none:latest is defined",
		"name: x\ninherits: x\n":               "a cycle",
		"name: x\ninherits: base.yaml\n":       "not by path",
		"name: x\nfoo: 1\nbar: 2\nenv: [{}]\n": "env[0].name: Required value",
	} {
		err := s.apply("aa", definition)
		if err == nil || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), "configmap "+s.namespace+"/aa[sidecar.yaml]") {
			t.Errorf("%q: got error %v, want %q in it", definition, err, want)
		}
	}
	err := s.apply("aa", "name: x\nfoo: 1\nbar: 2\nenv: [{}]\n")
	for _, want := range []string{"foo: Forbidden", "bar: Forbidden", "env[0].name"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error %v has no %q; want all errors together", err, want)
		}
	}
	must(t, s.edit("bad-before", func(c *corev1.ConfigMap) { c.Annotations = map[string]string{"a": "b"} }))
	if err := s.edit("bad-before", func(c *corev1.ConfigMap) { c.Data["sidecar.yaml"] += "more: 1\n" }); err == nil {
		t.Error("a rejected definition was replaced by another invalid one")
	}
}

// warnings collects the warnings of the API server.
type warnings struct {
	mu   sync.Mutex
	list []string
}

func (w *warnings) HandleWarningHeaderWithContext(_ context.Context, _ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, text)
}

// expect checks the warnings since the last call; without texts, there must be none. It need not wait, because they
// come with the response.
func (w *warnings) expect(t *testing.T, texts ...string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, text := range texts {
		if !slices.ContainsFunc(w.list, func(warning string) bool { return strings.Contains(warning, text) }) {
			t.Errorf("no warning contains %q: %q", text, w.list)
		}
	}
	if len(texts) == 0 && len(w.list) > 0 {
		t.Errorf("want no warnings, got %q", w.list)
	}
	w.list = nil
}

// text returns the warnings, one a line.
func (w *warnings) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.list, "\n")
}

// warned returns a client and its warnings.
func (s *scene) warned() (kubernetes.Interface, *warnings) {
	s.Helper()
	config, err := s.Config()
	must(s.T, err)
	w := new(warnings)
	config.WarningHandlerWithContext = w
	client, err := kubernetes.NewForConfig(config)
	must(s.T, err)
	return client, w
}

func TestValidateWarns(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	i := s.follow()
	s.registerValidating(i)
	must(t, s.apply("base", sidecar("base", "one")))
	must(t, s.apply("heir", "name: heir\ninherits: base\ncontainers: [{name: two, image: i}]\n"))
	s.awaitContainers("heir", "app,one,two")

	client, w := s.warned()
	configMaps := client.CoreV1().ConfigMaps(s.namespace)
	base, err := configMaps.Get(t.Context(), "base", metav1.GetOptions{})
	must(t, err)
	base.Data["sidecar.yaml"] = "name: base\ninitContainers: [{name: two, image: i}]\n"
	_, err = configMaps.Update(t.Context(), base, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
	must(t, err)
	w.expect(t, "breaks heir:latest")
	must(t, configMaps.Delete(t.Context(), "base", metav1.DeleteOptions{}))
	w.expect(t, "breaks heir:latest")
	// The last valid version of heir stays in service.
	s.awaitContainers("base", "app")
	s.awaitContainers("heir", "app,one,two")
}

// TestValidateWithKubectl checks that kubectl prints the field with the error.
func TestValidateWithKubectl(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	s.registerValidating(s.follow())
	file := filepath.Join(t.TempDir(), "a.yaml")
	must(t, os.WriteFile(file, []byte(`apiVersion: v1
kind: ConfigMap
metadata: {name: a, labels: {app: k8s-sidecar-injector}}
data:
  logger.yaml: |
    name: logger
    containers:
    - {name: logger, image: i, imagePullPolicy: always}
`), 0o600))
	output, err := exec.CommandContext(t.Context(), filepath.Join(bin, "kubectl"),
		"--kubeconfig="+s.Kubeconfig, "--namespace="+s.namespace, "apply", "-f", file).CombinedOutput()
	if _, failed := errors.AsType[*exec.ExitError](err); !failed {
		t.Errorf("kubectl exited with %v", err)
	}
	want := "configmap " + s.namespace + `/a[logger.yaml]:3: containers[0].imagePullPolicy: Unsupported value`
	if !strings.Contains(string(output), want) {
		t.Errorf("kubectl printed %s, want %s in it", output, want)
	}
}

// TestQuarantine checks that an invalid edit without the validating webhook keeps the last valid version in service.
func TestQuarantine(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	i := s.follow()
	must(t, s.apply("a", sidecar("x", "one")))
	must(t, s.apply("b", sidecar("w", "two")))
	s.awaitContainers("x", "app,one")
	must(t, s.apply("a", "name: x\nnonsense: 1\n"))
	s.awaitLine(i, "document rejected", "still_served:[x:latest]")
	must(t, s.apply("b", sidecar("w", "three")))
	s.awaitContainers("w", "app,three")
	s.awaitContainers("x", "app,one")
	must(t, s.apply("a", sidecar("x", "four")))
	s.awaitContainers("x", "app,four")
	s.awaitLine(i, "rejection cleared", s.namespace+"/a")
}

// many is the number of ConfigMaps in TestManyConfigMaps.
const many = 1000

func TestManyConfigMaps(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	i := s.follow()
	var group sync.WaitGroup
	names := make(chan int)
	for range 16 {
		group.Go(func() {
			for n := range names {
				if err := s.apply(fmt.Sprintf("map-%d", n), sidecar(fmt.Sprintf("x-%d", n), "c")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for n := range many {
		names <- n
	}
	close(names)
	group.Wait()
	s.await("all sidecars to be served", func() error {
		if got := s.metric(i, "sidecar_injector_snapshot_sidecars"); got != many {
			return fmt.Errorf("%v are served", got)
		}
		return nil
	})
	must(t, s.apply("map-7", sidecar("x-7", "edited")))
	s.awaitContainers("x-7", "app,edited")
	s.awaitLine(i, "snapshot published", "changed:[x-7:latest]")
	s.measure(i, "map-8", "x-8")
}

// slow is far more than the documented half second, because the machine may be busy.
const slow = 2500 * time.Millisecond

// measure logs and checks the time from an edit to the snapshot with it.
func (s *scene) measure(i *cluster.Injector, name, ref string) {
	s.Helper()
	const edits = 20
	times := make([]time.Duration, edits)
	for n := range edits {
		before := s.metric(i, "sidecar_injector_snapshot_generation")
		start := time.Now()
		must(s.T, s.apply(name, sidecar(ref, fmt.Sprintf("edit-%d", n))))
		s.await("the edit", func() error {
			if s.metric(i, "sidecar_injector_snapshot_generation") == before {
				return errors.New("not served")
			}
			return nil
		})
		times[n] = time.Since(start)
	}
	slices.Sort(times)
	median := times[edits/2]
	s.Logf("time from an edit to its snapshot, with %v sidecars: median %s, at most %s",
		s.metric(i, "sidecar_injector_snapshot_sidecars"), median, times[edits-1])
	if median > slow {
		s.Errorf("half of the edits took longer than %s: %v", slow, times)
	}
}
