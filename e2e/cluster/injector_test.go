package cluster_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s-sidecar-injector/e2e/cluster"
)

// TestLines reads a log with a long line and an incomplete line.
func TestLines(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "log")
	long := strings.Repeat("x", 1<<20)
	write(t, log, `{"message":"`+long+`"}`+"\n"+`{"message":"last"}`+"\n"+`{"mess`)
	injector := &cluster.Injector{Process: &cluster.Process{Log: log}}
	lines, err := injector.Lines()
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) != 2 || lines[0]["message"] != long || lines[1]["message"] != "last" {
		t.Errorf("got %d lines, want the long one and the last", len(lines))
	}

	write(t, log, "panic: oh\n")
	if _, err := injector.Lines(); err == nil {
		t.Error("a line that is not JSON gives no error")
	}
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
