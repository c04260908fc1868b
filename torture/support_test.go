//go:build torture

package torture_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

const (
	// memoryLimit is the limit of the chart. A process that exceeds it is killed.
	memoryLimit = 512 << 20
	// memoryTarget is the memory limit for scenarios with one hostile host.
	memoryTarget = 300 << 20
	// patience is the default deadline for conditions.
	patience = 30 * time.Second
	// refLogger is the sidecar that honest pods request.
	refLogger = "logger:v1"
)

// lab is shared by all scenarios. TestMain sets it.
var lab struct {
	binary    string // the injector
	authority *authority
}

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "torture")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	lab.binary = filepath.Join(dir, "k8s-sidecar-injector")
	build := exec.Command("go", "build", "-o", lab.binary, "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("go build: %w\n%s", err, output)
	}
	if lab.authority, err = newAuthority(); err != nil {
		return 1, err
	}
	fmt.Println(header)
	return m.Run(), nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sized returns the first value, or the second in a short run.
func sized[T any](whole, short T) T {
	if testing.Short() {
		return short
	}
	return whole
}

// repeat calls a function on a number of goroutines until ctx ends, and returns the number of calls.
func repeat(ctx context.Context, workers int, call func(ctx context.Context)) int {
	var calls atomic.Int64
	parallel(workers, func(int) {
		for ctx.Err() == nil {
			call(ctx)
			calls.Add(1)
		}
	})
	return int(calls.Load())
}

// parallel calls a function concurrently with 0 to count-1, and waits for all calls.
func parallel(count int, call func(n int)) {
	done := make(chan struct{})
	for n := range count {
		go func() {
			defer func() { done <- struct{}{} }()
			call(n)
		}()
	}
	for range count {
		<-done
	}
}

// median returns the median duration, or 0 for an empty slice.
func median(durations []time.Duration) time.Duration {
	if len(durations) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(durations))[len(durations)/2]
}

// timedOut reports whether an operation failed because of its own deadline.
func timedOut(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}
