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

func newReload(streams IOStreams) *cobra.Command {
	var pid int
	command := &cobra.Command{
		Use:   "reload",
		Short: "Make the daemon reload the definitions and the certificate (SIGHUP)",
		Long: "Sends SIGHUP to the daemon, which is found in /proc by its executable. This works in a container without a\n" +
			"shell: kubectl exec POD -- k8s-sidecar-injector reload",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return reload(streams, pid) },
	}
	command.Flags().IntVar(&pid, "pid", 0, "process ID of the daemon, if several run or there is no /proc")
	return command
}

// reload sends SIGHUP to a process, or to the only daemon if pid is 0.
func reload(streams IOStreams, pid int) (err error) {
	if pid < 0 {
		return fmt.Errorf("--pid %d: want a process ID", pid)
	}
	if pid == 0 {
		if pid, err = findDaemon("/proc", streams); err != nil {
			return err
		}
	}
	process, err := os.FindProcess(pid)
	if err == nil {
		err = process.Signal(syscall.SIGHUP)
	}
	if err != nil {
		return fmt.Errorf("send SIGHUP to process %d: %w", pid, err)
	}
	fmt.Fprintf(streams.Out, "sent SIGHUP to process %d; its log contains the result\n", pid)
	return nil
}

// findDaemon returns the process ID of the only other process that runs this executable as a daemon.
func findDaemon(proc string, streams IOStreams) (int, error) {
	executable, _ := os.Stat("/proc/self/exe") // without /proc, no process is found
	directories, _ := filepath.Glob(filepath.Join(proc, "[0-9]*"))
	var found []int
	for _, directory := range directories {
		pid, err := strconv.Atoi(filepath.Base(directory))
		if err != nil || pid == os.Getpid() {
			continue
		}
		other, err := os.Stat(filepath.Join(directory, "exe"))
		if err == nil && os.SameFile(executable, other) && isDaemon(directory, newRoot(programName, streams)) {
			found = append(found, pid)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return 0, errors.New("no daemon of this executable runs; set --pid")
	}
	slices.Sort(found)
	return 0, fmt.Errorf("several daemons run, %v; set --pid", found)
}

// isDaemon reports whether the process of a directory in /proc runs the root command. SIGHUP ends a process that runs
// another command. Only the command tree can parse the arguments: a word may be a command or the value of a flag.
func isDaemon(directory string, root *cobra.Command) bool {
	line, err := os.ReadFile(filepath.Join(directory, "cmdline"))
	if err != nil {
		return false
	}
	arguments := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
	command, rest, err := root.Find(arguments[1:])
	return err == nil && command == root &&
		root.ParseFlags(rest) == nil && root.ValidateArgs(root.Flags().Args()) == nil
}
