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

func newReload(process Process) *cobra.Command {
	var pid int
	command := &cobra.Command{
		Use:   "reload",
		Short: "Make the serving process read everything again (SIGHUP)",
		Long: "Sends SIGHUP to the process that serves, found by its executable in /proc, so that a container\n" +
			"without a shell can be told to reload: kubectl exec POD -- k8s-sidecar-injector reload",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return reload(command, process, pid)
		},
	}
	command.Flags().IntVar(&pid, "pid", 0, "the process, where there are several or no /proc")
	return command
}

func reload(command *cobra.Command, self Process, pid int) error {
	if pid < 0 {
		return fmt.Errorf("--pid %d: want the number of a process", pid)
	}
	if pid == 0 {
		found, err := serving("/proc", func() *cobra.Command { return newRoot(self) })
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

// serving returns the one other process that runs this executable and serves. The function returns a
// new command tree.
func serving(proc string, tree func() *cobra.Command) (int, error) {
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
		if err == nil && pid != os.Getpid() && runs(directory, own) && serves(directory, tree()) {
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

// serves reports whether a process, by its directory in /proc, runs the root command. A SIGHUP would
// end a process with any other command. The tree parses the arguments as that process did: a word may
// be a command or the value of a flag.
func serves(directory string, root *cobra.Command) bool {
	line, err := os.ReadFile(filepath.Join(directory, "cmdline"))
	if err != nil {
		return false
	}
	arguments := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
	command, rest, err := root.Find(arguments[1:])
	return err == nil && command == root && root.ParseFlags(rest) == nil && root.ValidateArgs(root.Flags().Args()) == nil
}
