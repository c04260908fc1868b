package e2e_test

import (
	"bytes"
	stdcmp "cmp"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// cases are the golden cases of package mutate.
const cases = "../mutate/testdata/cases"

// mostLeftOut is the number of cases that need other reviews than the creation of a pod, or a
// namespace with a request.
const mostLeftOut = 39

// goldenCase is one of these cases.
type goldenCase struct {
	directory string
	pod       map[string]any
	flags     []string
}

// TestGolden runs every case through the command inject and through the API server with the webhook,
// and compares both results with each other and with the golden file.
func TestGolden(t *testing.T) {
	t.Parallel()
	plain := newScene(t, shared)
	for _, class := range []string{"kata", "runc"} { // what the cases have
		plain.addRuntimeClass(&nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: class}, Handler: class})
	}
	entries, err := os.ReadDir(cases)
	must(t, err)
	leftOut := 0
	for _, entry := range entries {
		c, ok := readCase(t, filepath.Join(cases, entry.Name()))
		if !ok {
			leftOut++
			continue
		}
		t.Run(entry.Name(), func(t *testing.T) {
			t.Parallel()
			c.run(newScene(t, shared), &scene{T: t, Cluster: shared, namespace: plain.namespace})
		})
	}
	if done := len(entries) - leftOut; leftOut > mostLeftOut || done < 200 {
		t.Errorf("%d cases ran and %d were left out", done, leftOut)
	}
}

// readCase reads a case. It is not ok if the case needs another review than the creation of a pod in
// its own namespace.
func readCase(t *testing.T, directory string) (c goldenCase, ok bool) {
	t.Helper()
	c.directory = directory
	readYAML(t, filepath.Join(directory, "pod.yaml"), &c.pod)
	var policy struct {
		AnnotationNamespace, OnUnknown, OnConflict string
		Request                                    map[string]any
	}
	if file := filepath.Join(directory, "policy.yaml"); exists(file) {
		readYAML(t, file, &policy)
	}
	for flag, value := range map[string]string{
		"annotation-namespace": policy.AnnotationNamespace, "on-unknown": policy.OnUnknown, "on-conflict": policy.OnConflict,
	} {
		if value != "" {
			c.flags = append(c.flags, "--"+flag+"="+value)
		}
	}
	// The flag does not accept an annotation namespace with a tilde.
	return c, policy.Request == nil && !strings.Contains(policy.AnnotationNamespace, "~")
}

func readYAML(t *testing.T, file string, into any) {
	t.Helper()
	content, err := os.ReadFile(file)
	must(t, err)
	must(t, yaml.Unmarshal(content, into))
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// run creates the pod in a namespace with the webhook, and the output of inject in one without.
func (c goldenCase) run(hooked, plain *scene) {
	c.complete()
	definitions, err := os.ReadFile(filepath.Join(c.directory, "sidecars.yaml"))
	must(hooked.T, err)
	original, err := json.Marshal(c.pod)
	must(hooked.T, err)
	injected, denied := hooked.injectOffline(original, hooked.directory(string(definitions)),
		append(c.flags, "--namespace="+hooked.namespace))
	hooked.inject(string(definitions), c.flags...)
	accounts := []string{accountOf(original), accountOf(injected)}
	for _, match := range regexp.MustCompile(`serviceAccountName: ([a-z0-9-]+)`).FindAllSubmatch(definitions, -1) {
		accounts = append(accounts, string(match[1]))
	}
	for _, account := range accounts {
		hooked.ensureAccount(account)
		plain.ensureAccount(account)
	}
	stored, err := hooked.createRaw(original)
	for _, message := range denied {
		if err == nil || !strings.Contains(err.Error(), message) {
			hooked.Errorf("inject fails with %q, and the API server with %v", message, err)
		}
	}
	if denied != nil {
		return
	}
	want, wantErr := plain.createRaw(injected)
	if wantErr != nil {
		c.refused(plain, original, wantErr, err)
		return
	}
	if err != nil {
		hooked.Fatalf("the API server accepts the output of inject, but not the pod itself: %v", err)
	}
	if diff := cmp.Diff(normal(hooked.T, want), normal(hooked.T, stored)); diff != "" {
		hooked.Errorf("the pod of inject (-) and the pod of the webhook (+) differ:\n%s", diff)
	}
	c.compareGolden(hooked.T, bytes.ReplaceAll(injected, []byte(hooked.namespace), []byte("default")))
}

// complete adds the required fields of a pod, and removes its namespace.
func (c goldenCase) complete() {
	c.pod["apiVersion"], c.pod["kind"] = "v1", "Pod"
	metadata, _ := c.pod["metadata"].(map[string]any)
	if metadata == nil {
		metadata = make(map[string]any)
		c.pod["metadata"] = metadata
	}
	delete(metadata, "namespace")
	if metadata["name"] == nil && metadata["generateName"] == nil {
		metadata["name"] = "app"
	}
}

// refused checks a pod that the API server rejects with its sidecar: it must also reject the pod
// without the sidecar.
func (c goldenCase) refused(plain *scene, original []byte, wantErr, err error) {
	if err == nil {
		plain.Errorf("the API server rejects the output of inject with %v, but not the pod of the webhook", wantErr)
	}
	if _, err := plain.createRaw(original); err == nil {
		plain.Errorf("the API server accepts the pod, but not with its sidecar: %v", wantErr)
	}
}

// compareGolden compares the result with the golden file of package mutate, which has the pod before
// complete.
func (c goldenCase) compareGolden(t *testing.T, injected []byte) {
	t.Helper()
	file := filepath.Join(c.directory, "injected.yaml")
	if !exists(file) {
		return
	}
	golden := goldenCase{}
	readYAML(t, file, &golden.pod)
	golden.complete()
	var got map[string]any
	must(t, json.Unmarshal(injected, &got))
	want, err := json.Marshal(golden.pod)
	must(t, err)
	var wanted map[string]any
	must(t, json.Unmarshal(want, &wanted))
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("inject does not make what %s has:\n%s", file, diff)
	}
}

// injectOffline runs the command inject. It returns the pod as JSON, or what the error of the API
// server must contain: the message of a denial, or the fields that the API server rejects.
func (s *scene) injectOffline(pod []byte, directory string, flags []string) (injected []byte, denied []string) {
	s.Helper()
	command := exec.CommandContext(s.Context(), filepath.Join(bin, "k8s-sidecar-injector"),
		append([]string{"inject", "-f", "-", "--config-directory=" + directory}, flags...)...)
	var stderr bytes.Buffer
	command.Stdin, command.Stderr = bytes.NewReader(pod), &stderr
	output, err := command.Output()
	if _, failed := errors.AsType[*exec.ExitError](err); failed {
		return nil, s.reasons(stderr.String())
	}
	must(s.T, err)
	injected, err = yaml.YAMLToJSON(output)
	must(s.T, err)
	return injected, nil
}

// reasons returns the reasons in the output of inject.
func (s *scene) reasons(stderr string) []string {
	s.Helper()
	if _, why, found := strings.Cut(stderr, "denied, "); found {
		_, message, _ := strings.Cut(why, ": ") // after the reason
		line, _, _ := strings.Cut(message, "\n")
		return []string{line}
	}
	_, faults, found := strings.Cut(stderr, "the API server would reject ")
	if !found {
		s.Fatalf("inject fails: %s", stderr)
	}
	line, _, _ := strings.Cut(faults, "\n")
	var fields []string
	for fault := range strings.SplitSeq(line, "; ") {
		field, _, _ := strings.Cut(fault, ": ")
		fields = append(fields, field+": ")
	}
	return fields
}

// createRaw creates a pod from bytes, in a dry run.
func (s *scene) createRaw(pod []byte) (*corev1.Pod, error) {
	stored := new(corev1.Pod)
	err := s.client().CoreV1().RESTClient().Post().Namespace(s.namespace).Resource("pods").Param("dryRun", "All").
		SetHeader("Content-Type", "application/json").Body(pod).Do(s.Context()).Into(stored)
	return stored, err
}

// accountOf returns the service account of a pod.
func accountOf(pod []byte) string {
	var view struct {
		Spec struct{ ServiceAccountName, ServiceAccount string } // the second is a deprecated alias
	}
	_ = json.Unmarshal(pod, &view)
	return stdcmp.Or(view.Spec.ServiceAccountName, view.Spec.ServiceAccount)
}

// ensureAccount creates a service account unless it exists. Pods need it.
func (s *scene) ensureAccount(name string) {
	s.Helper()
	if name == "" {
		return
	}
	if err := s.account(name); err != nil && !apierrors.IsAlreadyExists(err) {
		s.Fatal(err)
	}
}

// normal removes what differs between two creations of the same pod: generated names, the order in which
// the API server adds the token and tolerations, and the mark of a skipped pod, which inject does not add.
func normal(t *testing.T, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	content, err := json.Marshal(pod)
	must(t, err)
	for _, v := range pod.Spec.Volumes {
		if strings.HasPrefix(v.Name, "kube-api-access-") {
			content = bytes.ReplaceAll(content, []byte(v.Name), []byte("kube-api-access"))
		}
	}
	same := new(corev1.Pod)
	must(t, json.Unmarshal(content, same))
	same.UID, same.Namespace, same.ResourceVersion, same.ManagedFields = "", "", "", nil
	same.CreationTimestamp.Reset()
	maps.DeleteFunc(same.Annotations, func(_, value string) bool { return strings.HasPrefix(value, "skipped: ") })
	if len(same.Annotations) == 0 {
		same.Annotations = nil
	}
	slices.SortFunc(same.Spec.Tolerations, func(a, b corev1.Toleration) int { return strings.Compare(a.Key, b.Key) })
	slices.SortFunc(same.Spec.Volumes, func(a, b corev1.Volume) int { return strings.Compare(a.Name, b.Name) })
	for _, list := range [][]corev1.Container{same.Spec.Containers, same.Spec.InitContainers} {
		for i := range list {
			slices.SortFunc(list[i].VolumeMounts, func(a, b corev1.VolumeMount) int {
				return strings.Compare(a.MountPath, b.MountPath)
			})
		}
	}
	return same
}
