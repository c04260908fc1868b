package cli_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestStalledLog verifies that a program whose standard error blocks answers reviews, counts the dropped log lines, and
// exits with 0 after SIGTERM.
func TestStalledLog(t *testing.T) {
	t.Parallel()
	d, process := startUnread(t)
	sample, err := os.ReadFile("sample-review.json")
	if err != nil {
		t.Fatal(err)
	}
	// Long lines fill the pipe and the buffer sooner.
	review := strings.Replace(string(sample), `"logger:v1"`, `"logger:v1`+strings.Repeat(" ", 2000)+`"`, 1)
	client := newClient(true)
	defer client.CloseIdleConnections()
	dropped := regexp.MustCompile(`(?m)^sidecar_injector_log_lines_dropped_total [1-9]`)
	end := time.Now().Add(3 * deadline)
	for metrics := ""; !dropped.MatchString(metrics); _, metrics = d.get("/metrics") {
		if time.Now().After(end) {
			t.Fatalf("no line is dropped:\n%s", metrics)
		}
		for range 500 {
			if _, err := d.post(client, review); err != nil {
				t.Fatal(err)
			}
		}
	}
	if code, body := d.get("/readyz"); code != http.StatusOK {
		t.Errorf("/readyz: %d %s", code, body)
	}
	if err := process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- process.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the program ended with %v", err)
		}
	case <-time.After(deadline):
		_ = process.Process.Kill()
		t.Fatal("the program ignores SIGTERM")
	}
}

// startUnread starts the program and reads its log only until it contains the ports.
func startUnread(t *testing.T) (*daemon, *exec.Cmd) {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	process := exec.CommandContext(t.Context(), binary, "--dev", "--log-format=json", "--tls-port=0",
		"--lifecycle-port=0", "--config-directory=../conf")
	process.Env = programEnv()
	process.Stderr = writer
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = reader.Close()
	})
	_ = writer.Close()
	for lines := bufio.NewReader(reader); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			t.Fatalf("the program does not serve: %v", err)
		}
		var event struct{ Message, Webhook, Lifecycle string }
		if json.Unmarshal(bytes.TrimSpace(line), &event) == nil && event.Message == "serving" {
			d := &daemon{webhook: local(event.Webhook), lifecycle: local(event.Lifecycle)}
			if code, body := d.get("/healthz"); code != http.StatusOK {
				t.Fatalf("/healthz: %d %s", code, body)
			}
			return d, process
		}
	}
}
