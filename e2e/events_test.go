package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TestEvents checks that a ReplicaSet has the reason why its pods are denied, in few events for many
// denials, and none for a dry run.
func TestEvents(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	id := s.identity()
	must(t, s.GrantEvents(t.Context(), s.namespace, s.namespace, "injector"))
	i := s.start("--config-directory="+s.directory(logger), "--on-unknown=deny", "--events", "--kubeconfig="+id.Kubeconfig)
	must(t, i.AwaitReady(t.Context()))
	s.register(i, func(w *admissionregistrationv1.MutatingWebhook) {
		w.SideEffects = new(admissionregistrationv1.SideEffectClassNoneOnDryRun)
	})
	pods := s.client().CoreV1().Pods(s.namespace)
	tried := pod("tried", "nobody:v1")
	tried.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: "apps/v1",
		Kind:       "ReplicaSet",
		Name:       "tried",
		UID:        "tried",
		Controller: new(true),
	}}
	_, err := pods.Create(t.Context(), tried, dryRun())
	if err == nil || !strings.Contains(err.Error(), `there is no sidecar "nobody:v1"`) {
		t.Errorf("got %v from a dry run", err)
	}

	must(t, s.deploy("nobody:v1"))
	s.awaitDescription(s.namespace)

	// Many denials with different messages.
	owner := s.replicaSet()
	for n := range 100 {
		p := pod("", fmt.Sprintf("nobody-%d", n%50))
		p.GenerateName = "many-"
		p.OwnerReferences = []metav1.OwnerReference{
			*metav1.NewControllerRef(owner, appsv1.SchemeGroupVersion.WithKind("ReplicaSet")),
		}
		if _, err := pods.Create(t.Context(), p, metav1.CreateOptions{}); err == nil {
			t.Fatal("a pod was not denied")
		}
	}
	must(t, i.Stop()) // it writes queued events
	events := s.ourEvents()
	if len(events) < 2 || len(events) > 12 {
		t.Errorf("got %d events", len(events))
	}
	for _, e := range events {
		equal(t, "the object of an event",
			fmt.Sprint(e.InvolvedObject.Kind, " ", e.InvolvedObject.Name, " ", e.InvolvedObject.UID),
			fmt.Sprint("ReplicaSet ", owner.Name, " ", owner.UID))
		equal(t, "the reporter", e.ReportingController, "k8s-sidecar-injector")
	}
	if lost := countLines(t, i, "events could not be recorded", ""); lost != 0 {
		t.Errorf("%d log lines report lost events", lost)
	}
}

// TestEventsOfPolicies checks the events on owners of pods that were denied or admitted without their sidecar.
func TestEventsOfPolicies(t *testing.T) {
	t.Parallel()
	const (
		unknown = `unknown_sidecar: annotation injector.tumblr.com/request: there is no sidecar "nobody:v1"`
		wrong   = `bad_parameter: sidecar logger:v1: annotation "injector.tumblr.com/param.level" is none of debug, info`
	)
	for _, c := range []struct {
		policy string
		want   map[string]string // by owner: the event's reason, and the beginning of its message
	}{
		{"admit", map[string]string{"unknown": "SidecarNotInjected " + unknown, "parameter": "SidecarNotInjected " + wrong}},
		{"deny", map[string]string{"unknown": "PodDenied " + unknown, "parameter": "PodDenied " + wrong}},
	} {
		t.Run(c.policy, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, shared)
			id := s.identity()
			must(t, s.GrantEvents(t.Context(), s.namespace, s.namespace, "injector"))
			i := s.inject(levelled,
				"--on-unknown="+c.policy, "--on-conflict="+c.policy, "--events", "--kubeconfig="+id.Kubeconfig)
			for _, p := range []*corev1.Pod{
				owned("fine", "logger:v1", "debug"),
				owned("unknown", "nobody:v1", "debug"),
				owned("parameter", "logger:v1", "trace"),
			} {
				stored, err := s.client().CoreV1().Pods(s.namespace).Create(t.Context(), p, metav1.CreateOptions{})
				switch {
				case p.Name == "fine":
					must(t, err)
					equal(t, "the list of containers of "+p.Name, containers(stored), "app,logger")
				case c.policy == "admit":
					must(t, err)
					equal(t, "the list of containers of "+p.Name, containers(stored), "app")
				case !apierrors.IsForbidden(err):
					t.Errorf("%s: got error %v", p.Name, err)
				}
			}
			must(t, i.Stop()) // it writes queued events
			s.checkEvents(c.want)
		})
	}
}

// levelled is a sidecar with a parameter.
const levelled = `name: logger:v1
parameters: {level: {default: info, enum: [debug, info]}}
containers: [{name: logger, image: 'logger:1', args: ['${level}']}]
`

// owned returns a pod with the parameter level and a controller of the same name.
func owned(name, asks, level string) *corev1.Pod {
	p := pod(name, asks)
	p.Annotations["injector.tumblr.com/param.level"] = level
	p.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: "apps/v1",
		Kind:       "ReplicaSet",
		Name:       name,
		UID:        types.UID(name),
		Controller: new(true),
	}}
	return p
}

// checkEvents checks that exactly these owners have an event.
func (s *scene) checkEvents(want map[string]string) {
	s.Helper()
	events := s.ourEvents()
	equal(s.T, "the number of events", len(events), len(want))
	for _, e := range events {
		text, begin := e.Reason+" "+e.Message, want[e.InvolvedObject.Name]
		if begin == "" || !strings.HasPrefix(text, begin) {
			s.Errorf("the event of %s is %q, want prefix %q", e.InvolvedObject.Name, text, begin)
		}
		equal(s.T, "the type of the event", e.Type, corev1.EventTypeWarning)
	}
}

// TestEventsOfChart checks that the chart grants the rights for events in every namespace, and sets sideEffects.
func TestEventsOfChart(t *testing.T) {
	t.Parallel()
	i := installChart(t, "events.enabled=true", "onUnknown=deny", "sample=true")
	for _, namespace := range []string{home, i.namespace} {
		granted := strings.Join(i.granted(namespace), "\n")
		if strings.Count(granted, "create,patch events. ") != 1 || strings.Count(granted, "events") != 1 {
			t.Errorf("got rights in %s\n%s", namespace, granted)
		}
	}
	configurations := i.client().AdmissionregistrationV1().MutatingWebhookConfigurations()
	configuration, err := configurations.Get(t.Context(), home, metav1.GetOptions{})
	must(t, err)
	equal(t, "sideEffects", *configuration.Webhooks[0].SideEffects, admissionregistrationv1.SideEffectClassNoneOnDryRun)
	i.start(i.pods(2))
	i.awaitInjection()
	must(t, i.deploy("nobody:v1"))
	i.awaitDescription(i.namespace)
}

// deploy creates a Deployment whose pods request a sidecar.
func (s *scene) deploy(asks string) error {
	labels := map[string]string{"app": "w"}
	_, err := s.client().AppsV1().Deployments(s.namespace).Create(s.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "w"},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(5)),
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{request: asks}},
				Spec:       podSpec(),
			},
		},
	}, metav1.CreateOptions{})
	return err
}

// awaitDescription waits until kubectl describe prints the event of the namespace's ReplicaSet.
func (s *scene) awaitDescription(namespace string) {
	s.Helper()
	s.await("the description of the ReplicaSet", func() error {
		text := s.kubectl("describe", "replicaset", "--namespace="+namespace)
		for line := range strings.Lines(text) {
			if strings.Contains(line, "PodDenied") &&
				strings.Contains(line, "Warning") &&
				strings.Contains(line, "k8s-sidecar-injector") &&
				strings.Contains(line, `unknown_sidecar: annotation injector.tumblr.com/request: there is no sidecar "nobody:v1"`) {
				return nil
			}
		}
		return fmt.Errorf("got\n%s", text)
	})
}

// replicaSet returns the only ReplicaSet of the namespace.
func (s *scene) replicaSet() *appsv1.ReplicaSet {
	s.Helper()
	list, err := s.client().AppsV1().ReplicaSets(s.namespace).List(s.Context(), metav1.ListOptions{})
	must(s.T, err)
	equal(s.T, "the number of ReplicaSets", len(list.Items), 1)
	return &list.Items[0]
}

// ourEvents returns the events of the namespace that the injector recorded.
func (s *scene) ourEvents() []corev1.Event {
	s.Helper()
	list, err := s.client().CoreV1().Events(s.namespace).List(s.Context(), metav1.ListOptions{
		FieldSelector: "source=k8s-sidecar-injector",
	})
	must(s.T, err)
	return list.Items
}
