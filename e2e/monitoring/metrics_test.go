package monitoring_test

import (
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

// TestMetrics checks that the program has all metrics of the alerts.
func TestMetrics(t *testing.T) {
	t.Parallel()
	metrics := scrape(t)
	for _, rule := range alerts(t) {
		checkMetrics(t, metrics, rule.Expr)
	}
}

// scrape starts the program with a valid and an invalid definition, and returns its metrics.
func scrape(t *testing.T) string {
	t.Helper()
	directory := t.TempDir()
	for name, text := range map[string]string{"a.yaml": "name: a\n", "b.yaml": "name: b\nx: 1\n"} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	port := freePort(t)
	program := exec.CommandContext(t.Context(), bin+"k8s-sidecar-injector", "--dev", "--config-directory="+directory,
		fmt.Sprintf("--lifecycle-port=%d", port), fmt.Sprintf("--tls-port=%d", freePort(t)))
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
		metrics := get(t, fmt.Sprintf("http://127.0.0.1:%d/metrics", port))
		if strings.Contains(metrics, "sidecar_injector_rejected_documents{") {
			return metrics
		}
		select {
		case <-limit:
			t.Fatalf("no rejection in %q", metrics)
		case <-tick.C:
		}
	}
}

// get returns the body of a response, or "" if there is none.
func get(t *testing.T, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return string(body)
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
