package bench

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// printTable writes a Markdown table with a blank line before and after it.
func printTable(out io.Writer, header []string, rows [][]string) {
	fmt.Fprintf(out, "\n| %s |\n|%s\n", strings.Join(header, " | "), strings.Repeat(" --- |", len(header)))
	for _, row := range rows {
		fmt.Fprintf(out, "| %s |\n", strings.Join(row, " | "))
	}
	fmt.Fprintln(out)
}

// printMachine writes a line about this machine.
func printMachine(out io.Writer) {
	model := "unknown CPU"
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	var kernel unix.Utsname
	_ = unix.Uname(&kernel)
	fmt.Fprintf(out, "%d cores of %s, Linux %s, %s, %s\n", runtime.NumCPU(), model,
		unix.ByteSliceToString(kernel.Release[:]), runtime.Version(), time.Now().UTC().Format(time.DateOnly))
}

func micros(d float64) string { return fmt.Sprintf("%.0f µs", d/float64(time.Microsecond)) }

func millis(d time.Duration) string { return fmt.Sprintf("%.2f ms", d.Seconds()*1000) }

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f s", d.Seconds()) }

func megabytes(bytes int64) string { return fmt.Sprintf("%.0f MB", float64(bytes)/1e6) }

// times formats a ratio with its range.
func times(values []float64) string {
	s := spreadOf(values)
	return fmt.Sprintf("%.2f (%.2f to %.2f)", s.median, s.min, s.max)
}
