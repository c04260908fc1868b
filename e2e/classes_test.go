package e2e_test

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// addRuntimeClass creates a RuntimeClass until the test ends.
func (s *scene) addRuntimeClass(class *nodev1.RuntimeClass) {
	s.Helper()
	classes := s.client().NodeV1().RuntimeClasses()
	_, err := classes.Create(s.Context(), class, metav1.CreateOptions{})
	must(s.T, err)
	s.Cleanup(func() { _ = classes.Delete(context.Background(), class.Name, metav1.DeleteOptions{}) })
}

func (s *scene) addPriorityClass(class *schedulingv1.PriorityClass) {
	s.Helper()
	classes := s.client().SchedulingV1().PriorityClasses()
	_, err := classes.Create(s.Context(), class, metav1.CreateOptions{})
	must(s.T, err)
	s.Cleanup(func() { _ = classes.Delete(context.Background(), class.Name, metav1.DeleteOptions{}) })
}

// TestClasses checks that the API server accepts the classes of a sidecar, although it has already computed the
// priority of the pod, and that it adds what the classes have.
func TestClasses(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	s.addPriorityClass(&schedulingv1.PriorityClass{
		ObjectMeta: metav1.ObjectMeta{Name: s.namespace}, Value: 1000, PreemptionPolicy: new(corev1.PreemptNever),
	})
	s.addRuntimeClass(&nodev1.RuntimeClass{
		ObjectMeta: metav1.ObjectMeta{Name: s.namespace},
		Handler:    "kata",
		Overhead:   &nodev1.Overhead{PodFixed: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("100Mi")}},
		Scheduling: &nodev1.Scheduling{NodeSelector: map[string]string{"kata": "true"}},
	})
	s.inject(strings.ReplaceAll("name: agent\npriorityClassName: NAME\nruntimeClassName: NAME\n", "NAME", s.namespace))

	stored := s.create(pod("p", "agent"))
	equal(t, "the priority class", stored.Spec.PriorityClassName, s.namespace)
	equal(t, "the priority", *stored.Spec.Priority, 1000)
	equal(t, "the preemption policy", *stored.Spec.PreemptionPolicy, corev1.PreemptNever)
	equal(t, "the runtime class", *stored.Spec.RuntimeClassName, s.namespace)
	equal(t, "the overhead", stored.Spec.Overhead.Memory().String(), "100Mi")
	equal(t, "the node selector", stored.Spec.NodeSelector["kata"], "true")

	own := pod("own", "agent")
	own.Spec.PriorityClassName = "system-cluster-critical"
	stored = s.create(own)
	equal(t, "the priority class of a pod with one", stored.Spec.PriorityClassName, "system-cluster-critical")
	equal(t, "the runtime class of a pod with a priority class", *stored.Spec.RuntimeClassName, s.namespace)
}

// TestDefaultPriorityClass checks that a pod has the default class of the cluster before it is reviewed.
func TestDefaultPriorityClass(t *testing.T) {
	t.Parallel()
	s := newScene(t, startCluster(t))
	for name, value := range map[string]int32{"normal": 100, "high": 1000} {
		s.addPriorityClass(&schedulingv1.PriorityClass{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Value: value, GlobalDefault: name == "normal",
		})
	}
	s.inject("name: agent\npriorityClassName: high\n")
	stored := s.create(pod("p", "agent"))
	equal(t, "the priority class", stored.Spec.PriorityClassName, "normal")
	equal(t, "the priority", *stored.Spec.Priority, 100)
}
