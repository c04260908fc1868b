// Package hangup receives SIGHUP from the first milliseconds of the process on.
//
// A SIGHUP without a handler ends the process, and the packages that the program links take several
// milliseconds to initialize before main begins. Go initializes packages in the order of their import
// paths, as soon as their imports are (Go specification, "Program initialization"). This package
// imports little, so that its turn comes early. It must stay so.
package hangup

import (
	"os"
	"os/signal"
	"syscall"
)

var received = notify() //nolint:gochecknoglobals // it has to exist before main

func notify() chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c
}

// Signals returns the channel of the signals. One that nobody has received yet is kept.
func Signals() <-chan os.Signal { return received }

// Default restores what SIGHUP does by default, for a program that does not use Signals: it ends the
// process, unless it was ignored when the process started. A signal that was received already is
// sent again.
func Default() error {
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
