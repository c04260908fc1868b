package monitoring_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
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
	metrics := scrape(t)
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

// scrape starts the program with a valid and an invalid definition, and returns its metrics after an injection.
func scrape(t *testing.T) string {
	t.Helper()
	directory := t.TempDir()
	for name, text := range map[string]string{"a.yaml": "name: a\n", "b.yaml": "name: b\nx: 1\n"} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	port, tlsPort := freePort(t), freePort(t)
	program := exec.CommandContext(t.Context(), bin+"k8s-sidecar-injector", "--dev", "--config-directory="+directory,
		fmt.Sprintf("--lifecycle-port=%d", port), fmt.Sprintf("--tls-port=%d", tlsPort))
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
	limit, tick := time.After(deadline), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		send(t, http.MethodPost, fmt.Sprintf("https://127.0.0.1:%d/mutate", tlsPort), review)
		metrics := send(t, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/metrics", port), "")
		if strings.Contains(metrics, "sidecar_injector_injections_total{") {
			return metrics // definitions are loaded before the first injection
		}
		select {
		case <-limit:
			t.Fatalf("no injection in %q", metrics)
		case <-tick.C:
		}
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
