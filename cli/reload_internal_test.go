package cli

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// procOf makes a /proc of processes that run this executable, by the command lines, from 1000 on.
func procOf(t *testing.T, lines ...[]string) string {
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
		text := strings.Join(append([]string{"k8s-sidecar-injector"}, line...), "\x00") + "\x00"
		if err := os.WriteFile(filepath.Join(directory, "cmdline"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return proc
}

func tree() *cobra.Command { return newRoot(System()) }

// A command is a process that SIGHUP would end, whichever it is: also one that is added later.
func TestReloadIgnoresOtherCommands(t *testing.T) {
	t.Parallel()
	lines := [][]string{{"--dev"}, {"help"}, {"completion", "bash"}, {"__complete", ""}, {"unknown"}, {"--help"}, {"--no-such-flag"}}
	root := tree()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	commands := root.Commands()
	if len(commands) < 7 {
		t.Errorf("%d commands", len(commands))
	}
	for _, command := range commands {
		lines = append(lines, []string{command.Name()}, []string{command.Name(), "x"}, []string{"--dev", command.Name()},
			[]string{"--config-directory", "conf", command.Name(), "--help"})
	}
	if pid, err := serving(procOf(t, lines...), tree); pid != 1000 || err != nil {
		t.Errorf("process %d, %v", pid, err)
	}
}

// The name of a command may be the value of a flag.
func TestReloadFindsWhatServes(t *testing.T) {
	t.Parallel()
	for _, line := range [][]string{
		{},
		{"--config-directory", "explain"},
		{"--config-directory=explain", "--tls-port", "9000"},
		{"--dev", "--log-level", "debug"},
	} {
		if pid, err := serving(procOf(t, line), tree); pid != 1000 || err != nil {
			t.Errorf("%q: process %d, %v", line, pid, err)
		}
	}
	if pid, err := serving(procOf(t, []string{"--dev"}, nil), tree); err == nil || !strings.Contains(err.Error(), "[1000 1001]") {
		t.Errorf("of two, process %d, %v", pid, err)
	}
}
