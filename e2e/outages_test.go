package e2e_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"k8s-sidecar-injector/e2e/cluster"
)

// Log messages about a source.
const (
	sourceUnread    = "source cannot be read; none of its documents is in service"
	sourceFailed    = "source cannot be read; its last documents stay in service"
	sourceRecovered = "source can be read"
)

// outage starts a cluster that the test may break, with an injector that serves the sidecar x of a
// ConfigMap and the sidecar file of its directory.
func outage(t *testing.T) (*scene, *cluster.Injector, *cluster.Identity) {
	t.Helper()
	s := newScene(t, startCluster(t))
	must(t, s.apply("a", sidecar("x", "one")))
	id := s.identity()
	i := s.start(append(s.configMapFlags(id), "--config-directory="+s.directory(sidecar("file", "f")))...)
	must(t, i.AwaitReady(t.Context()))
	return s, i, id
}

// ask posts the review of a pod to the injector directly, and returns the response.
func (s *scene) ask(i *cluster.Injector, asks string) (string, error) {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(i.CA)
	client := &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}},
		Timeout:   5 * time.Second,
	}
	defer client.CloseIdleConnections()
	review := `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1",` +
		`"request":{"uid":"u","namespace":"n","operation":"CREATE",` +
		`"resource":{"group":"","version":"v1","resource":"pods"},` +
		`"object":{"metadata":{"annotations":{"` + request + `":"` + asks + `"}},` +
		`"spec":{"containers":[{"name":"app","image":"i"}]}}}}`
	response, err := client.Post(i.URL("/mutate"), "application/json", strings.NewReader(review))
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

// injects returns an error unless the sidecar is injected with this container, which identifies its version.
func (s *scene) injects(i *cluster.Injector, ref, container string) error {
	answer, err := s.ask(i, ref)
	if err != nil {
		return err
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal([]byte(answer), &review); err != nil {
		return err
	}
	if review.Response == nil || !strings.Contains(string(review.Response.Patch), `"name":"`+container+`"`) {
		return fmt.Errorf("no container %s in the patch of %s: %s", container, ref, answer)
	}
	return nil
}

// served checks that this version of a sidecar is injected, without the API server.
func (s *scene) served(i *cluster.Injector, ref, container string) {
	s.Helper()
	if err := s.injects(i, ref, container); err != nil {
		s.Error(err)
	}
}

// longDeadline bounds waits for an informer that may back off for a minute, twice.
const longDeadline = 3 * time.Minute

// awaitServed waits for this version of a sidecar to be injected.
func (s *scene) awaitServed(i *cluster.Injector, ref, container string) {
	s.Helper()
	s.awaitFor(longDeadline, container+" to be served", func() error { return s.injects(i, ref, container) })
}

// restartAPIServer ends all watches.
func (s *scene) restartAPIServer() {
	s.Helper()
	s.APIServer.Kill()
	must(s.T, s.StartAPIServer(s.Context()))
}

func TestAPIServerKilled(t *testing.T) {
	t.Parallel()
	s, i, _ := outage(t)
	s.APIServer.Kill()
	s.awaitLine(i, sourceFailed, "connection refused")
	s.served(i, "x", "one")
	s.served(i, "file", "f")
	ready, reasons, err := i.Ready(t.Context())
	must(t, err)
	if !ready {
		t.Errorf("no longer ready: %s", reasons)
	}
	must(t, s.StartAPIServer(t.Context()))
	must(t, s.apply("a", sidecar("x", "two")))
	s.awaitServed(i, "x", "two")
	s.awaitLine(i, sourceRecovered, "configmaps "+s.namespace)
}

func TestAPIServerAwayAtStart(t *testing.T) {
	t.Parallel()
	s := newScene(t, startCluster(t))
	must(t, s.apply("a", sidecar("x", "one")))
	id := s.identity()
	s.APIServer.Kill()
	i := s.start(append(s.configMapFlags(id), "--config-directory="+s.directory(sidecar("file", "f")))...)
	s.awaitLine(i, sourceUnread, "connection refused")
	ready, reasons, err := i.Ready(t.Context())
	must(t, err)
	want := "configmaps " + s.namespace + " (app=k8s-sidecar-injector) has not been read yet: " +
		"cannot list configmaps in namespace " + s.namespace
	if ready || !strings.Contains(reasons, want) {
		t.Errorf("/readyz returns %q, want %q", reasons, want)
	}
	s.served(i, "file", "f")
	must(t, s.StartAPIServer(t.Context()))
	must(t, i.AwaitReady(t.Context()))
	s.served(i, "x", "one")
	equal(t, "the number of log lines about the error", countLines(t, i, sourceUnread, "connection refused"), 1)
}

func TestEtcdRestarted(t *testing.T) {
	t.Parallel()
	s, i, _ := outage(t)
	s.KillEtcd()
	s.served(i, "x", "one")
	must(t, s.StartEtcd(t.Context()))
	s.await("the edit to be accepted", func() error { return s.apply("a", sidecar("x", "two")) })
	s.awaitServed(i, "x", "two")
}

// TestWatchExpired stops the injector while etcd compacts all revisions that it could resume from.
func TestWatchExpired(t *testing.T) {
	t.Parallel()
	s, i, _ := outage(t)
	must(t, s.apply("gone", sidecar("gone", "g")))
	s.awaitServed(i, "gone", "g")
	configMaps := s.client().CoreV1().ConfigMaps(s.namespace)
	list, err := configMaps.List(t.Context(), metav1.ListOptions{})
	must(t, err)

	must(t, i.Signal(syscall.SIGSTOP))
	must(t, s.apply("a", sidecar("x", "two")))
	s.remove("gone")
	must(t, s.Compact(t.Context()))
	s.restartAPIServer()
	if err := s.watchError(list.ResourceVersion); !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
		t.Fatalf("got %v from a watch at the injector's revision, want expired", err)
	}
	must(t, i.Signal(syscall.SIGCONT))

	s.awaitServed(i, "x", "two")
	s.await("the removed sidecar to be gone", func() error {
		answer, err := s.ask(i, "gone")
		if err == nil && !strings.Contains(answer, "unknown_sidecar") {
			err = errors.New(answer)
		}
		return err
	})
}

// watchError returns the error that ends a watch from this version.
func (s *scene) watchError(resourceVersion string) error {
	w, err := s.client().CoreV1().ConfigMaps(s.namespace).Watch(s.Context(), metav1.ListOptions{
		ResourceVersion: resourceVersion,
	})
	if err != nil {
		return err
	}
	defer w.Stop()
	select {
	case event := <-w.ResultChan():
		if event.Type == watch.Error {
			return apierrors.FromObject(event.Object)
		}
		return fmt.Errorf("got event %s", event.Type)
	case <-time.After(deadline):
		return errors.New("nothing at all")
	}
}

func TestAPIServerHangs(t *testing.T) {
	t.Parallel()
	s, i, _ := outage(t)
	must(t, s.APIServer.Signal(syscall.SIGSTOP))
	s.awaitSourceError(i, "namespace "+s.namespace)
	s.served(i, "x", "one")
	must(t, s.APIServer.Signal(syscall.SIGCONT))
	s.await("the edit to be accepted", func() error { return s.apply("a", sidecar("x", "two")) })
	s.awaitServed(i, "x", "two")
}

// awaitSourceError waits for a log line about the source. Pings detect a dead connection after 45 seconds.
func (s *scene) awaitSourceError(i *cluster.Injector, text string) {
	s.Helper()
	s.awaitFor(longDeadline, "a log line with "+text, func() error {
		if countLines(s.T, i, sourceFailed, text) == 0 {
			return errors.New("not said")
		}
		return nil
	})
}

func TestRightsMissing(t *testing.T) {
	t.Parallel()
	s := newScene(t, startCluster(t))
	must(t, s.apply("a", sidecar("x", "one")))
	must(t, s.account("injector"))
	id, err := s.Identity(t.Context(), s.namespace, "injector")
	must(t, err)
	i := s.start(s.configMapFlags(id)...)
	want := `cannot list resource "configmaps" in API group "" in the namespace "` + s.namespace + `"`
	s.awaitLine(i, sourceUnread, want)
	ready, reasons, err := i.Ready(t.Context())
	must(t, err)
	if ready || !strings.Contains(reasons, want) {
		t.Errorf("/readyz returns %q, want %q", reasons, want)
	}
	s.grant()
	must(t, i.AwaitReady(t.Context()))
	s.served(i, "x", "one")

	// An open watch continues without the right, so it must be opened again.
	must(t, s.client().RbacV1().RoleBindings(s.namespace).Delete(t.Context(), "injector", metav1.DeleteOptions{}))
	must(t, s.client().RbacV1().Roles(s.namespace).Delete(t.Context(), "injector", metav1.DeleteOptions{}))
	s.restartAPIServer()
	s.awaitLine(i, sourceFailed, "is forbidden")
	s.served(i, "x", "one")
	s.grant()
	must(t, s.apply("a", sidecar("x", "two")))
	s.awaitServed(i, "x", "two")
}

func TestTokenRevoked(t *testing.T) {
	t.Parallel()
	s, i, id := outage(t)
	accounts := s.client().CoreV1().ServiceAccounts(s.namespace)
	must(t, accounts.Delete(t.Context(), "injector", metav1.DeleteOptions{}))
	s.restartAPIServer()
	s.awaitSourceError(i, "Unauthorized")
	s.served(i, "x", "one")
	must(t, s.account("injector"))
	must(t, s.RenewToken(t.Context(), id))
	must(t, s.apply("a", sidecar("x", "two")))
	s.awaitServed(i, "x", "two")
}
