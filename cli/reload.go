package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func newReload() *cobra.Command {
	var pid int
	command := &cobra.Command{
		Use:   "reload",
		Short: "Make the serving process read everything again (SIGHUP)",
		Long: "Sends SIGHUP to the process that serves, found by its executable in /proc, so that a container\n" +
			"without a shell can be told to reload: kubectl exec POD -- k8s-sidecar-injector reload",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return reload(command, pid)
		},
	}
	command.Flags().IntVar(&pid, "pid", 0, "the process, where there are several or no /proc")
	return command
}

func reload(command *cobra.Command, pid int) error {
	if pid < 0 {
		return fmt.Errorf("--pid %d: want the number of a process", pid)
	}
	if pid == 0 {
		found, err := serving("/proc")
		if err != nil {
			return err
		}
		pid = found
	}
	process, err := os.FindProcess(pid)
	if err == nil {
		err = process.Signal(syscall.SIGHUP)
	}
	if err != nil {
		return fmt.Errorf("send SIGHUP to process %d: %w", pid, err)
	}
	fmt.Fprintf(command.OutOrStdout(), "sent SIGHUP to process %d; its log tells what it loaded\n", pid)
	return nil
}

// serving finds the one other process that runs this executable and serves.
func serving(proc string) (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	own, err := os.Stat(self)
	if err != nil {
		return 0, err
	}
	directories, _ := filepath.Glob(filepath.Join(proc, "[0-9]*"))
	var found []int
	for _, directory := range directories {
		pid, err := strconv.Atoi(filepath.Base(directory))
		if err == nil && pid != os.Getpid() && runs(directory, own) && serves(directory) {
			found = append(found, pid)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return 0, errors.New("no other process of this executable serves: name it with --pid")
	}
	slices.Sort(found)
	return 0, fmt.Errorf("several processes serve, %v: name one with --pid", found)
}

// runs tells whether a process, by its directory in /proc, runs the executable.
func runs(directory string, executable os.FileInfo) bool {
	other, err := os.Stat(filepath.Join(directory, "exe"))
	return err == nil && os.SameFile(executable, other)
}

// serves tells a process without a command from one that runs inject and the like, which a
// SIGHUP would end. A command is the first argument: further on, the same word may be the value
// of a flag.
func serves(directory string) bool {
	line, err := os.ReadFile(filepath.Join(directory, "cmdline"))
	if err != nil {
		return false
	}
	arguments := strings.Split(string(line), "\x00")
	if len(arguments) < 2 {
		return true
	}
	switch arguments[1] {
	case "inject", "validate", "reload", "version", "help", "completion":
		return false
	}
	return true
}
