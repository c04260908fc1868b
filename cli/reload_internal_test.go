package cli

import (
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// newProc creates a /proc with a process of this executable for each command line. The process IDs begin at 1000.
func newProc(t *testing.T, lines ...[]string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	proc := t.TempDir()
	for i, line := range lines {
		directory := filepath.Join(proc, strconv.Itoa(1000+i))
		if err := os.Mkdir(directory, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(self, filepath.Join(directory, "exe")); err != nil {
			t.Fatal(err)
		}
		text := strings.Join(append([]string{programName}, line...), "\x00") + "\x00"
		if err := os.WriteFile(filepath.Join(directory, "cmdline"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return proc
}

func testStreams() IOStreams {
	return IOStreams{In: strings.NewReader(""), Out: io.Discard, ErrOut: io.Discard, Getenv: os.Getenv}
}

// TestFindDaemonIgnoresCommands verifies that no process with a command is found, because SIGHUP would end it. This
// includes commands that are added later.
func TestFindDaemonIgnoresCommands(t *testing.T) {
	t.Parallel()
	lines := [][]string{
		{"--dev"}, {"help"}, {"completion", "bash"}, {"__complete", ""}, {"unknown"}, {"--help"}, {"--no-such-flag"},
	}
	root := newRoot(programName, testStreams())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	commands := root.Commands()
	if len(commands) < 7 {
		t.Errorf("got %d commands, want at least 7", len(commands))
	}
	for _, command := range commands {
		lines = append(lines,
			[]string{command.Name()}, []string{command.Name(), "x"}, []string{"--dev", command.Name()},
			[]string{"--config-directory", "conf", command.Name(), "--help"})
	}
	if pid, err := findDaemon(newProc(t, lines...), testStreams()); pid != 1000 || err != nil {
		t.Errorf("got process %d, %v, want 1000", pid, err)
	}
}

// TestFindDaemon covers values of flags that equal the name of a command.
func TestFindDaemon(t *testing.T) {
	t.Parallel()
	for _, line := range [][]string{
		{},
		{"--config-directory", "explain"},
		{"--config-directory=explain", "--tls-port", "9000"},
		{"--dev", "--log-level", "debug"},
	} {
		if pid, err := findDaemon(newProc(t, line), testStreams()); pid != 1000 || err != nil {
			t.Errorf("%q: got process %d, %v, want 1000", line, pid, err)
		}
	}
	pid, err := findDaemon(newProc(t, []string{"--dev"}, nil), testStreams())
	if err == nil || !strings.Contains(err.Error(), "[1000 1001]") {
		t.Errorf("two daemons: got process %d, %v", pid, err)
	}
}
