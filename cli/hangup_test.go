package cli_test

import (
	"bufio"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// startWithHangup starts the program and sends SIGHUP as soon as package hangup is initialized. The scanner reads the
// standard error after that.
func startWithHangup(t *testing.T, arguments ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	command := exec.CommandContext(t.Context(), binary, arguments...)
	command.Env = append(programEnv(), "GODEBUG=inittrace=1")
	if _, err := command.StdinPipe(); err != nil { // it stays open
		t.Fatal(err)
	}
	output, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		name, _, _ := strings.Cut(strings.TrimPrefix(lines.Text(), "init "), " @")
		switch {
		case name == "k8s-sidecar-injector/cli/hangup":
			if err := command.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			return command, lines
		case strings.HasPrefix(name, "github.com/google/go-cmp/"): // only tests import it
		case strings.Contains(name, "."):
			t.Errorf("package %s is initialized before SIGHUP is handled", name)
		}
	}
	t.Fatal("package hangup is not initialized")
	return nil, nil
}

// TestHangupBeforeMain verifies that a SIGHUP before main causes a reload.
func TestHangupBeforeMain(t *testing.T) {
	t.Parallel()
	command, lines := startWithHangup(t, "--dev", "--tls-port=0", "--lifecycle-port=0", "--log-format=json",
		"--config-directory="+t.TempDir())
	for lines.Scan() {
		if strings.Contains(lines.Text(), "SIGHUP: reading") {
			break
		}
	}
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("the process has ended: %v", err)
	}
	for lines.Scan() {
	}
	if err := command.Wait(); err != nil {
		t.Error(err)
	}
}

// TestHangupEndsCommands verifies that SIGHUP before main ends a command other than the daemon, as when its terminal
// closes.
func TestHangupEndsCommands(t *testing.T) {
	t.Parallel()
	command, lines := startWithHangup(t, "inject", "-f", "-", "--config-directory="+t.TempDir())
	for lines.Scan() {
	}
	exit, ok := errors.AsType[*exec.ExitError](command.Wait())
	if !ok {
		t.Fatal("the process ended without an error")
	}
	if status, _ := exit.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGHUP {
		t.Errorf("the process ended with %v, want SIGHUP", exit)
	}
}
