package e2e_test

import (
	"net/http"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestServiceReference registers a webhook by its Service. The API server connects to the Service's
// address and port, with its DNS name and path.
func TestServiceReference(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	handler, _ := other()
	mux := http.NewServeMux()
	mux.Handle("POST webhook."+s.namespace+".svc/webhook", handler)
	config, stop, err := s.ServeService(t.Context(), s.namespace, "webhook", mux)
	must(t, err)
	t.Cleanup(stop)
	service, err := s.client().CoreV1().Services(s.namespace).Get(t.Context(), "webhook", metav1.GetOptions{})
	must(t, err)
	if !strings.HasPrefix(service.Spec.ClusterIP, "127.") {
		t.Errorf("got address %s of the Service, want loopback", service.Spec.ClusterIP)
	}

	s.inject(logger)
	s.change(func(w *admissionregistrationv1.MutatingWebhook) { w.ClientConfig = config })
	s.awaitContainers("logger:v1", "app,other")
}

// change updates the registered webhook of the namespace.
func (s *scene) change(how func(*admissionregistrationv1.MutatingWebhook)) {
	s.Helper()
	webhooks := s.client().AdmissionregistrationV1().MutatingWebhookConfigurations()
	configuration, err := webhooks.Get(s.Context(), s.namespace, metav1.GetOptions{})
	must(s.T, err)
	how(&configuration.Webhooks[0])
	_, err = webhooks.Update(s.Context(), configuration, metav1.UpdateOptions{})
	must(s.T, err)
}
