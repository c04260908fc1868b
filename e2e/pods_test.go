package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s-sidecar-injector/e2e/cluster"
)

// logger is the sidecar of most tests.
const logger = `name: logger:v1
containers: [{name: logger, image: 'registry.example.com/logger:1'}]
initContainers: [{name: prepare, image: 'registry.example.com/prepare:1'}]
volumes: [{name: app-logs, emptyDir: {}}]
volumeMounts: [{name: app-logs, mountPath: /var/log/app}]
env: [{name: LOG_DIR, value: /var/log/app}]
hostAliases: [{ip: 127.0.0.1, hostnames: [logs.local]}]
`

// tokenPath is where the API server mounts the token of the service account.
const tokenPath = "/var/run/secrets/kubernetes.io/serviceaccount"

// checkLogger checks every field that the sidecar logger adds to a pod.
func checkLogger(t *testing.T, p *corev1.Pod) {
	t.Helper()
	equal(t, "the containers", containers(p), "app,logger")
	equal(t, "the number of init containers", len(p.Spec.InitContainers), 1)
	for _, list := range [][]corev1.Container{p.Spec.Containers, p.Spec.InitContainers} {
		for _, c := range list {
			equal(t, "the mount of the sidecar's volume in "+c.Name, has(&c, "/var/log/app"), true)
			equal(t, "the env of "+c.Name, fmt.Sprint(c.Env), "[{LOG_DIR /var/log/app nil}]")
		}
	}
	equal(t, "the aliases", fmt.Sprint(p.Spec.HostAliases), "[{127.0.0.1 [logs.local]}]")
	equal(t, "the status", p.Annotations["injector.tumblr.com/status"], "injected")
	injected := p.Annotations["injector.tumblr.com/injected"]
	if !regexp.MustCompile(`^logger:v1@[0-9a-f]{12}$`).MatchString(injected) {
		t.Errorf("the annotation injected is %q", injected)
	}
}

// checkToken checks that every container mounts one token, of the same volume.
func checkToken(t *testing.T, p *corev1.Pod) {
	t.Helper()
	volumes := 0
	for _, v := range p.Spec.Volumes {
		if strings.HasPrefix(v.Name, "kube-api-access-") {
			volumes++
		}
	}
	equal(t, "the number of token volumes", volumes, 1)
	for _, list := range [][]corev1.Container{p.Spec.Containers, p.Spec.InitContainers} {
		for _, c := range list {
			equal(t, "the token of "+c.Name, has(&c, tokenPath), true)
		}
	}
}

func TestBarePod(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	s.inject(logger)
	stored := s.create(pod("bare", "logger:v1"))
	checkLogger(t, stored)
	checkToken(t, stored)
}

// TestPodWithoutVolumes tests a pod for which the original returned an invalid patch.
func TestPodWithoutVolumes(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	s.inject(logger)
	p := pod("bare", "logger:v1")
	p.Spec.AutomountServiceAccountToken = new(false)
	stored := s.create(p)
	checkLogger(t, stored)
	equal(t, "the number of volumes", len(stored.Spec.Volumes), 1)
}

// TestReviewVersions checks that the API server can use each version of AdmissionReview.
func TestReviewVersions(t *testing.T) {
	t.Parallel()
	for _, versions := range [][]string{{"v1"}, {"v1beta1"}} {
		s := newScene(t, shared)
		i := s.start("--config-directory=" + s.directory(logger))
		must(t, i.AwaitReady(t.Context()))
		s.register(i, func(w *admissionregistrationv1.MutatingWebhook) { w.AdmissionReviewVersions = versions })
		checkLogger(t, s.create(pod("p", "logger:v1")))
	}
}

// TestServiceAccount checks that the sidecar's account replaces the default one, and that the API server
// mounts its token, also in the sidecar.
func TestServiceAccount(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	s.inject(logger + "serviceAccountName: logger\n")
	must(t, s.account("logger"))
	stored := s.create(pod("p", "logger:v1"))
	checkLogger(t, stored)
	checkToken(t, stored)
	equal(t, "the service account", stored.Spec.ServiceAccountName, "logger")
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	s.inject(logger)
	pods := s.client().CoreV1().Pods(s.namespace)
	answer, err := pods.Create(t.Context(), pod("p", "logger:v1"), dryRun())
	must(t, err)
	checkLogger(t, answer)
	if _, err := pods.Get(t.Context(), "p", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("got %v for the pod of a dry run, want not found", err)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	s.inject(logger)
	client, w := s.warned()
	pods := client.CoreV1().Pods(s.namespace)

	stored, err := pods.Create(t.Context(), pod("unknown", "nobody"), metav1.CreateOptions{})
	must(t, err)
	equal(t, "the containers", containers(stored), "app")
	w.expect(t, `there is no sidecar "nobody:latest"`)

	conflicting := pod("conflict", "logger:v1")
	conflicting.Spec.Containers[0].Name = "logger"
	_, err = pods.Create(t.Context(), conflicting, metav1.CreateOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "logger") {
		t.Errorf("got error %v for a pod with a container of that name", err)
	}
	w.expect(t) // kubectl prints the error
}

func TestDenyUnknown(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	s.inject(logger, "--on-unknown=deny")
	_, err := s.client().CoreV1().Pods(s.namespace).Create(t.Context(), pod("p", "nobody"), metav1.CreateOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `there is no sidecar "nobody:latest"`) {
		t.Errorf("got error %v", err)
	}
}

// reviews returns the series of an outcome and a reason.
func reviews(outcome, reason string) string {
	return fmt.Sprintf("sidecar_injector_reviews_total{outcome=%q,reason=%q}", outcome, reason)
}

// awaitCount waits until a review is counted, which happens after the response.
func (s *scene) awaitCount(i *cluster.Injector, outcome, reason string, least float64) {
	s.Helper()
	s.await("the count of "+reason, func() error {
		if got := s.metric(i, reviews(outcome, reason)); got < least {
			return fmt.Errorf("got %v, want %v", got, least)
		}
		return nil
	})
}

// asks adds the match condition of the docs.
func asks(w *admissionregistrationv1.MutatingWebhook) {
	w.MatchConditions = []admissionregistrationv1.MatchCondition{{Name: "asks", Expression: cluster.Asks}}
}

// TestMatchConditions checks that pods without a request never wait for the injector, even while it is down with
// failurePolicy Fail.
func TestMatchConditions(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	i := s.start("--config-directory=" + s.directory(logger))
	must(t, i.AwaitReady(t.Context()))
	s.register(i, asks)
	for n := range 5 {
		p := pod(fmt.Sprintf("silent-%d", n), "")
		p.Annotations = nil
		s.create(p)
	}
	s.create(pod("asks", "logger:v1"))
	s.awaitCount(i, "injected", "injected", 1)
	equal(t, "the number of reviews of pods without a request", s.metric(i, reviews("skipped", "no_annotation")), 0)

	i.Kill()
	p := pod("silent", "")
	p.Annotations = nil
	s.create(p)
	pods := s.client().CoreV1().Pods(s.namespace)
	_, err := pods.Create(t.Context(), pod("asks-too", "logger:v1"), metav1.CreateOptions{})
	if !apierrors.IsInternalError(err) {
		t.Errorf("with failurePolicy Fail and no injector, got error %v", err)
	}
}

// TestReinvocation registers another webhook that adds a container, so that the injector is invoked again and completes
// the container.
func TestReinvocation(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	i := s.start("--config-directory=" + s.directory(logger))
	must(t, i.AwaitReady(t.Context()))
	handler, changed := other()
	url, stop, err := s.Serve(handler)
	must(t, err)
	t.Cleanup(stop)
	s.register(i, func(w *admissionregistrationv1.MutatingWebhook) { w.Name = "a.example.com" })
	s.registerOther(url)
	s.await("both webhooks to be invoked", func() error {
		_, err := s.client().CoreV1().Pods(s.namespace).Create(s.Context(), pod("probe", "logger:v1"), dryRun())
		if err == nil && changed.Load() == 0 {
			err = errors.New("the other is not")
		}
		return err
	})
	const injections = `sidecar_injector_injections_total{sidecar="logger:v1"}`
	before, injected := s.completions(i), s.metric(i, injections)
	stored := s.create(pod("p", "logger:v1"))
	equal(t, "the containers", containers(stored), "app,logger,other")
	equal(t, "the number of completions", s.completions(i), before+1)
	equal(t, "the number of injections", s.metric(i, injections), injected+1)
	for _, c := range stored.Spec.Containers {
		equal(t, "the env of "+c.Name, fmt.Sprint(c.Env), "[{LOG_DIR /var/log/app nil}]")
		equal(t, "the mounts of "+c.Name, len(c.VolumeMounts), 2)
		equal(t, "the mount of the sidecar's volume in "+c.Name, has(&c, "/var/log/app"), true)
	}
	checkToken(t, stored)
	audited := map[string]any{
		"outcome": "injected", "reason": "injected", "sidecars": stored.Annotations["injector.tumblr.com/injected"],
		"generation": "1", "reinvocation": "completed",
	}
	if diff := cmp.Diff(audited, s.audited("a.example.com", "p")); diff != "" {
		t.Errorf("audit annotations (-want +got):\n%s", diff)
	}
	// The API server logs annotations that it refuses.
	log, err := os.ReadFile(s.APIServer.Log)
	must(t, err)
	if bytes.Contains(log, []byte("for mutating webhook a.example.com: ")) {
		t.Errorf("the API server refuses audit annotations:\n%s", log)
	}
}

// completions waits until no review is in flight, and returns the number of reviews that completed containers.
func (s *scene) completions(i *cluster.Injector) float64 {
	s.Helper()
	s.await("all reviews to be counted", func() error {
		if n := s.metric(i, "sidecar_injector_reviews_in_flight"); n > 0 {
			return fmt.Errorf("%v are in flight", n)
		}
		return nil
	})
	return s.metric(i, reviews("injected", "completed"))
}

// registerOther registers another webhook, which is invoked after the injector.
func (s *scene) registerOther(url string) {
	s.Helper()
	webhooks := s.client().AdmissionregistrationV1().MutatingWebhookConfigurations()
	configuration, err := webhooks.Get(s.Context(), s.namespace, metav1.GetOptions{})
	must(s.T, err)
	other := *configuration.Webhooks[0].DeepCopy()
	other.Name = "z.example.com"
	other.ClientConfig.URL = &url
	configuration.Webhooks = append(configuration.Webhooks, other)
	_, err = webhooks.Update(s.Context(), configuration, metav1.UpdateOptions{})
	must(s.T, err)
}

// other returns a webhook that adds the container other to pods without one, and counts these pods.
func other() (handler http.Handler, changed *atomic.Int32) {
	changed = new(atomic.Int32)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
		if !bytes.Contains(review.Request.Object.Raw, []byte(`"name":"other"`)) {
			changed.Add(1)
			review.Response.PatchType = new(admissionv1.PatchTypeJSONPatch)
			review.Response.Patch = []byte(`[{"op":"add","path":"/spec/containers/-","value":{"name":"other","image":"i"}}]`)
		}
		review.Request = nil
		body, err := json.Marshal(review)
		if err == nil {
			_, _ = io.Copy(w, bytes.NewReader(body))
		}
	}), changed
}
