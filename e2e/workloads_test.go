package e2e_test

import (
	"errors"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// TestWorkloads checks pods of each controller whose template has a request.
func TestWorkloads(t *testing.T) {
	t.Parallel()
	labels := map[string]string{"app": "w"}
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{request: "logger:v1"}},
		Spec:       podSpec(),
	}
	once := *template.DeepCopy()
	once.Spec.RestartPolicy = corev1.RestartPolicyNever
	job := batchv1.JobSpec{Template: once}
	selector := &metav1.LabelSelector{MatchLabels: labels}
	meta := metav1.ObjectMeta{Name: "w"}
	for kind, create := range map[string]func(*scene, kubernetes.Interface) error{
		"Deployment": func(s *scene, c kubernetes.Interface) error {
			_, err := c.AppsV1().Deployments(s.namespace).Create(s.Context(), &appsv1.Deployment{
				ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Selector: selector, Template: template},
			}, metav1.CreateOptions{})
			return err
		},
		"StatefulSet": func(s *scene, c kubernetes.Interface) error {
			_, err := c.AppsV1().StatefulSets(s.namespace).Create(s.Context(), &appsv1.StatefulSet{
				ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Selector: selector, Template: template, ServiceName: "w"},
			}, metav1.CreateOptions{})
			return err
		},
		"DaemonSet": func(s *scene, c kubernetes.Interface) error {
			_, err := c.AppsV1().DaemonSets(s.namespace).Create(s.Context(), &appsv1.DaemonSet{
				ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Selector: selector, Template: template},
			}, metav1.CreateOptions{})
			return err
		},
		"Job": func(s *scene, c kubernetes.Interface) error {
			object := &batchv1.Job{ObjectMeta: meta, Spec: job}
			_, err := c.BatchV1().Jobs(s.namespace).Create(s.Context(), object, metav1.CreateOptions{})
			return err
		},
		"CronJob": func(s *scene, c kubernetes.Interface) error {
			_, err := c.BatchV1().CronJobs(s.namespace).Create(s.Context(), &batchv1.CronJob{
				ObjectMeta: meta, Spec: batchv1.CronJobSpec{Schedule: "* * * * *", JobTemplate: batchv1.JobTemplateSpec{Spec: job}},
			}, metav1.CreateOptions{})
			return err
		},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, shared)
			s.inject(logger)
			must(t, create(s, s.client()))
			made := s.awaitPod()
			checkLogger(t, made)
			checkToken(t, made)
			if len(made.OwnerReferences) != 1 {
				t.Errorf("got owners %v, want one controller", made.OwnerReferences)
			}
		})
	}
}

// awaitPod waits for the first pod of the namespace. A CronJob needs up to a minute and a half.
func (s *scene) awaitPod() *corev1.Pod {
	s.Helper()
	var made *corev1.Pod
	s.awaitFor(longDeadline, "a pod", func() error {
		pods, err := s.client().CoreV1().Pods(s.namespace).List(s.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		if len(pods.Items) == 0 {
			return errors.New("there is none")
		}
		made = &pods.Items[0]
		return nil
	})
	return made
}

// TestNativeSidecarOfJob checks that the Job controller creates pods with a native sidecar.
func TestNativeSidecarOfJob(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	s.inject("inJobs: native\n" + logger)
	template := pod("", "logger:v1")
	template.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
	_, err := s.client().BatchV1().Jobs(s.namespace).Create(t.Context(), &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "job"}, Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Annotations: template.Annotations}, Spec: template.Spec,
		}},
	}, metav1.CreateOptions{})
	must(t, err)
	made := s.awaitPod()
	equal(t, "the containers", containers(made), "app")
	init := made.Spec.InitContainers
	if len(init) != 2 || init[1].Name != "logger" || init[1].RestartPolicy == nil || *init[1].RestartPolicy != "Always" {
		t.Errorf("the init containers are %v, want a native sidecar after another one", init)
	}
}
