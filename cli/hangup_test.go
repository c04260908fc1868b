package cli_test

import (
	"bufio"
	"errors"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// startHungUp starts the program and sends SIGHUP as soon as package hangup is initialized. It returns
// what the program writes to its standard error from then on.
func startHungUp(t *testing.T, arguments ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	command := exec.CommandContext(t.Context(), binary, arguments...)
	command.Env = []string{"GODEBUG=inittrace=1"}
	if _, err := command.StdinPipe(); err != nil { // which stays open
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
		case strings.Contains(name, "."):
			t.Errorf("package %s is initialized before SIGHUP is handled", name)
		}
	}
	t.Fatal("package hangup is not initialized")
	return nil, nil
}

// A SIGHUP that arrives before main leads to a reload.
func TestHangupAtStart(t *testing.T) {
	t.Parallel()
	command, lines := startHungUp(t, "--dev", "--tls-port=0", "--lifecycle-port=0", "--log-format=json", "--config-directory="+t.TempDir())
	for lines.Scan() {
		if strings.Contains(lines.Text(), "SIGHUP: reading") {
			break
		}
	}
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("the process has ended: %v", err)
	}
	_, _ = io.Copy(io.Discard, command.Stderr.(io.Reader))
	if err := command.Wait(); err != nil {
		t.Error(err)
	}
}

// Other commands end, as when a terminal closes, also if the signal arrives before main.
func TestHangupEndsOtherCommands(t *testing.T) {
	t.Parallel()
	command, lines := startHungUp(t, "inject", "-f", "-", "--config-directory="+t.TempDir())
	for lines.Scan() {
	}
	exit, ok := errors.AsType[*exec.ExitError](command.Wait())
	if !ok {
		t.Fatal("the process ended well")
	}
	if status, _ := exit.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGHUP {
		t.Errorf("the process ended with %v", exit)
	}
}
