package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"
)

// findDaemon returns the process ID of the only other process that runs this executable as a daemon.
func findDaemon(proc string, streams IOStreams) (int, error) {
	executable, _ := os.Stat("/proc/self/exe") // without /proc, no process is found
	directories, _ := filepath.Glob(filepath.Join(proc, "[0-9]*"))
	var found []int
	var unreadable error
	for _, directory := range directories {
		pid, err := strconv.Atoi(filepath.Base(directory))
		if err != nil || pid == os.Getpid() || !isDaemon(directory, streams) {
			continue
		}
		other, err := os.Stat(filepath.Join(directory, "exe"))
		switch {
		case err == nil && os.SameFile(executable, other):
			found = append(found, pid)
		case err != nil && !errors.Is(err, fs.ErrNotExist) && hasOurName(readList(directory, "cmdline")[0]):
			unreadable = fmt.Errorf("cannot inspect process %d: %w; run reload as the user of the daemon", pid, err)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		slices.Sort(found)
		return 0, fmt.Errorf("several daemons run, %v; set --pid", found)
	case unreadable != nil:
		return 0, unreadable
	}
	return 0, errors.New("no daemon of this executable runs; set --pid")
}

// checkDaemon returns an error unless the process runs this program as a daemon, perhaps of another version. SIGHUP
// ends most other processes. Without /proc, it checks nothing.
func checkDaemon(proc string, pid int, streams IOStreams) error {
	if _, err := os.Stat(filepath.Join(proc, "self")); err != nil {
		return nil //nolint:nilerr // not on Linux
	}
	directory := filepath.Join(proc, strconv.Itoa(pid))
	if _, err := os.Stat(directory); err != nil {
		return fmt.Errorf("--pid %d: there is no such process", pid)
	}
	executable, err := os.Readlink(filepath.Join(directory, "exe"))
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("--pid %d: %w; run reload as the user of the daemon", pid, err)
	case err != nil, !hasOurName(strings.TrimSuffix(executable, " (deleted)")), !isDaemon(directory, streams):
		return fmt.Errorf("--pid %d: the process is not a %s that serves", pid, programName)
	}
	return nil
}

// hasOurName reports whether the name of an executable is that of the program.
func hasOurName(path string) bool {
	own, _ := os.Executable()
	return slices.Contains([]string{programName, entrypointName, filepath.Base(own)}, filepath.Base(path))
}

// isDaemon reports whether the process of a directory in /proc has the command line of a daemon. SIGHUP ends a process
// that runs another command. Only the command tree can parse the arguments: a word may be a command or the value of a
// flag.
func isDaemon(directory string, streams IOStreams) bool {
	arguments := readList(directory, "cmdline")
	if len(arguments) == 0 {
		return false
	}
	root := newRoot(programName, streams)
	command, rest, err := root.Find(arguments[1:])
	return err == nil && command == root &&
		root.ParseFlags(rest) == nil && root.ValidateArgs(root.Flags().Args()) == nil
}

// readList returns the strings of a file in /proc, each of which ends with a zero byte. It returns nil if the file is
// unreadable or empty, as for a kernel thread.
func readList(directory, name string) []string {
	content, _ := os.ReadFile(filepath.Join(directory, name))
	text := strings.TrimSuffix(string(content), "\x00")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\x00")
}

// lifecyclePortOf returns the lifecycle port that a process has by its arguments and its environment. Without /proc,
// the environment is that of this command.
func lifecyclePortOf(proc string, pid int, getenv func(string) string) (int, error) {
	directory := filepath.Join(proc, strconv.Itoa(pid))
	o := new(serveOptions)
	flags := pflag.NewFlagSet(programName, pflag.ContinueOnError)
	o.AddFlags(flags)
	if arguments := readList(directory, "cmdline"); arguments != nil {
		if err := flags.Parse(arguments[1:]); err != nil {
			return 0, err
		}
	}
	if environment := readList(directory, "environ"); environment != nil {
		getenv = func(variable string) string {
			for _, setting := range environment {
				if value, found := strings.CutPrefix(setting, variable+"="); found {
					return value
				}
			}
			return ""
		}
	}
	e := readEnvironment(flags, getenv)
	o.completePorts(e, zerolog.Nop())
	if err := e.err(); err != nil {
		return 0, err
	}
	if o.lifecyclePort == 0 {
		return 0, errors.New("its lifecycle port is any free port; set --lifecycle-port to the one in its log")
	}
	return o.lifecyclePort, nil
}
