// Profile is the program with profiles of the process: make profile runs it under load. It is a program of its own, so
// that the binary has no endpoint and no flag for profiles. They are written to the directory $PROFILE_DIRECTORY.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"syscall"

	"k8s-sidecar-injector/cli"
)

func main() {
	dir := os.Getenv("PROFILE_DIRECTORY")
	code, err := run(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "profile:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

// run serves until SIGTERM.
func run(dir string) (code int, err error) {
	runtime.SetBlockProfileRate(10_000) // a sample for each 10 µs of blocking
	runtime.SetMutexProfileFraction(5)
	cpu, err := os.Create(filepath.Join(dir, "cpu.pprof")) //nolint:gosec // the developer sets the directory
	if err != nil {
		return 0, err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return 0, err
	}
	// The heap is written while the definitions are still in use.
	ending := make(chan os.Signal, 1)
	signal.Notify(ending, syscall.SIGTERM)
	written := make(chan error, 1)
	go func() {
		<-ending
		runtime.GC()
		written <- write(dir, "heap", "block", "mutex")
	}()
	code = cli.Run(os.Args, cli.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr, Getenv: os.Getenv})
	pprof.StopCPUProfile()
	if err := cpu.Close(); err != nil || code != 0 {
		return code, err
	}
	return code, <-written
}

// write writes profiles of the runtime.
func write(dir string, names ...string) error {
	for _, name := range names {
		file, err := os.Create(filepath.Join(dir, name+".pprof")) //nolint:gosec // the developer sets the directory
		if err != nil {
			return err
		}
		if err := pprof.Lookup(name).WriteTo(file, 0); err != nil {
			return err
		}
		if err := file.Close(); err != nil {
			return err
		}
	}
	return nil
}
