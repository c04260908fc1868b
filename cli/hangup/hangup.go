// Package hangup receives SIGHUP from the first milliseconds of the process on.
//
// Without a handler, SIGHUP ends the process. The imports of this program take several milliseconds to
// initialize before main begins. Go initializes packages in the order of their import paths, each after its own
// imports (Go specification, "Program initialization"). This package must import little, so that it is
// initialized early. A signal before the Go runtime is up, in about the first millisecond, still ends the process.
package hangup

import (
	"os"
	"os/signal"
	"syscall"
)

var received = notify() //nolint:gochecknoglobals // it must exist before main

func notify() chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c
}

// Signals returns the channel of received signals. It holds one signal that was not yet received.
func Signals() <-chan os.Signal { return received }

// Reset restores the default effect of SIGHUP, for a command that does not use Signals. A signal that has already
// arrived is sent again.
func Reset() error {
	signal.Reset(syscall.SIGHUP)
	select {
	case <-received:
	default:
		return nil
	}
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		return err
	}
	return self.Signal(syscall.SIGHUP)
}
