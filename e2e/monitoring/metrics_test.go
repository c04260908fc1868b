package monitoring_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// deadline bounds waits that usually take a second.
const deadline = 90 * time.Second

// TestMetrics checks that the program has all metrics of the alerts and of the dashboard.
func TestMetrics(t *testing.T) {
	t.Parallel()
	metrics := scrapeWorking(t)
	for _, rule := range alerts(t) {
		checkMetrics(t, metrics, rule.Expr)
	}
	for _, query := range dashboardQueries(t) {
		checkMetrics(t, metrics, query)
	}
}

// review is a review of a pod that requests the sidecar a.
const review = `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u","operation":"CREATE",
"resource":{"version":"v1","resource":"pods"},"namespace":"team",
"object":{"metadata":{"annotations":{"injector.tumblr.com/request":"a"}},"spec":{}}}}`

// scrapeWorking starts the program with a valid and an invalid definition, and returns its metrics after an injection.
func scrapeWorking(t *testing.T) string {
	t.Helper()
	directory := t.TempDir()
	for name, text := range map[string]string{"a.yaml": "name: a\n", "b.yaml": "name: b\nx: 1\n"} {
		write(t, filepath.Join(directory, name), text)
	}
	port, tlsPort := freePort(t), freePort(t)
	start(t, port, tlsPort, "--dev", "--config-directory="+directory)
	return scrape(t, port, func(metrics string) bool {
		send(t, http.MethodPost, fmt.Sprintf("https://127.0.0.1:%d/mutate", tlsPort), review)
		return strings.Contains(metrics, "sidecar_injector_injections_total{") // definitions are loaded before
	})
}

// scrapeForbidden starts the program with an API server that forbids everything, and returns its metrics.
func scrapeForbidden(t *testing.T) string {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}`)
	}))
	t.Cleanup(api.Close)
	port := freePort(t)
	start(t, port, freePort(t), "--master-url="+api.URL, "--configmap-labels=app=sidecars",
		"--configmap-namespace=sidecars", "--self-managed-tls", "--tls-secret=sidecars/tls")
	return scrape(t, port, func(metrics string) bool {
		return strings.Contains(metrics, "\nsidecar_injector_unreadable_sources 1\n") &&
			strings.Contains(metrics, "\nsidecar_injector_certificate_failing 1\n")
	})
}

// start starts the program, and ends it after the test.
func start(t *testing.T, port, tlsPort int, args ...string) {
	t.Helper()
	program := exec.CommandContext(t.Context(), bin+"k8s-sidecar-injector",
		append(args, fmt.Sprintf("--lifecycle-port=%d", port), fmt.Sprintf("--tls-port=%d", tlsPort))...)
	var log strings.Builder
	program.Stdout, program.Stderr = &log, &log
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = program.Process.Kill()
		_ = program.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
}

// scrape returns the metrics of a program as soon as they are complete.
func scrape(t *testing.T, port int, complete func(metrics string) bool) string {
	t.Helper()
	limit, tick := time.After(deadline), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		metrics := send(t, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/metrics", port), "")
		if complete(metrics) {
			return metrics
		}
		select {
		case <-limit:
			t.Fatalf("not complete: %q", metrics)
		case <-tick.C:
		}
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// send returns the body of the response to a request, or "" if there is none.
func send(t *testing.T, method, url, body string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	client := http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	defer client.CloseIdleConnections()
	response, err := client.Do(request)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	content, _ := io.ReadAll(response.Body)
	return string(content)
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}
