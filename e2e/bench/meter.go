package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime returns the CPU time that a process has used, user and system, including threads that ended.
func cpuTime(pid int) (time.Duration, error) {
	const processClock = 2 // CPUCLOCK_SCHED of the kernel
	var spent unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|processClock), &spent); err != nil {
		return 0, fmt.Errorf("read the CPU time of process %d: %w", pid, err)
	}
	return time.Duration(spent.Nano()), nil
}

// memory is the resident size of a process, in bytes.
type memory struct{ now, peak int64 }

// readMemory reads /proc/PID/status.
func readMemory(pid int) (memory, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, err
	}
	return memory{now: statusSize(status, "VmRSS"), peak: statusSize(status, "VmHWM")}, nil
}

// statusSize returns the size in a line such as `VmRSS:    1234 kB`, in bytes, or 0 if there is none.
func statusSize(status []byte, name string) int64 {
	for line := range bytes.Lines(status) {
		if value, found := strings.CutPrefix(string(line), name+":"); found {
			kilobytes, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kilobytes << 10
		}
	}
	return 0
}
